"""Map-style datasets of prompts, their samplers and loaders."""
