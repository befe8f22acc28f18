"""``remot sweep``: many runs of one configuration over settings and seeds."""
