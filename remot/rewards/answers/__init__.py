"""Rewards of answers: accuracy, format, logic."""
