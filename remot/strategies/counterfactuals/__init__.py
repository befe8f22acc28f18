"""Changed inputs whose completions rewards compare with."""
