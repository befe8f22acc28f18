"""Slow, literal versions of the formulas: Python loops over numbers, sharing no code with the library."""
