"""Readers of annotation files: each turns the files of one source into clips in the library's own conventions."""
