"""Readers of game logs."""
