"""Readers of data sets with camera poses."""
