"""Tasks about events and captions."""
