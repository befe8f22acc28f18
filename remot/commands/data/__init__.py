"""The `remot data` commands."""
