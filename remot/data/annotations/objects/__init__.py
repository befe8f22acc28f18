"""Readers of object tracks, events and layouts."""
