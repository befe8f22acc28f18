"""Rewards of boxes, maps, graphs and trajectories."""
