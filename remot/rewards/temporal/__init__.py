"""Rewards of intervals and events."""
