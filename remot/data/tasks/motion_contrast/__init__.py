"""Motion-contrast triplets (ReMoT, arXiv 2603.00461)."""
