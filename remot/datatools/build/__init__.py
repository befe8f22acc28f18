"""Prompts written to disk."""
