"""Questions about tracked objects, true by their boxes and distances: those of Video-STR (arXiv 2510.10976)."""
