"""Rewards of length and repetition."""
