"""The clips of a folder: loading, catalogue, exclusions and splits."""
