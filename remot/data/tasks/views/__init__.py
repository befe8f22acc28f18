"""Tasks about one image or two views of a scene, after OpenSpatial (arXiv 2604.07296)."""
