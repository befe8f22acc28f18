"""The GRPO objective and its step."""
