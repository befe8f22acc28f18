"""References of prompts worked out a second time, from the words of the prompt and the annotations of its clip.

Formulas, signs and words for answers are this package's own. Of :mod:`remot.data.tasks` it takes settings as numbers,
and the wordings, by which a prompt is read back.
"""
