"""Rewards that compare completions with those of a changed input."""
