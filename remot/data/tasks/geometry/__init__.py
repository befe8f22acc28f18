"""Measures of scenes: boxes, directions, maps, what a camera sees and where tracked things are. Pure numpy."""
