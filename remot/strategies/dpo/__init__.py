"""Preference optimisation: pairs of responses, and the objective over them."""
