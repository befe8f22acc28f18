"""Recorders that turn simulators into annotated clips."""
