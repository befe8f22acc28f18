"""Questions about rooms, true by their 3D layouts: those of SpaceR (arXiv 2504.01805) and VSI-Bench (2412.14171)."""
