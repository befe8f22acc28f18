"""Reader and writer of the library's own clip format."""
