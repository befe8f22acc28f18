"""Sampling completions from the policy itself, token by token and reproducibly."""
