"""Clips made by programs: a renderer and recorders of simulators."""
