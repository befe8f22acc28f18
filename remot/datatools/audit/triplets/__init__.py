"""Audit of motion-contrast triplets."""
