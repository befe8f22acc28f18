"""Readers of robot data sets."""
