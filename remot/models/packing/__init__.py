"""Prompt sharing: packed rows, attention masks and key-value caches."""
