"""Configuration files, parsers and their error messages."""
