"""Rewards beside another way to work them out, from the text to the total, on thousands of random completions.

What is written in the files that use this shares no code with the rewards: regular expressions read what the library
reads by string search, sets of cells stand for lengths, complex numbers for angles, searches for formulas.
"""

import re

import numpy as np

from tests.helpers import assert_close
from tests.rewards.samples import question

NUM = 2000


def rng_of(name):
    return np.random.default_rng(sum(map(ord, name)))


def assert_agree(reward, cases, expected, least_different=4):
    """A reward gives pairs (completion, reference) the expected totals, which must not all be the same."""
    cases = list(cases)
    assert len(cases) >= NUM
    texts, references = zip(*cases, strict=True)
    questions = [question(reference, prompt_id=str(k)) for k, reference in enumerate(references)]
    wanted = [expected(text, reference) for text, reference in cases]
    assert_close(reward(texts, questions).total, wanted, atol=2e-5)
    assert len({round(one, 4) for one in wanted}) >= least_different


def inside(tag, text, which=0):
    found = re.findall(f"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
    return found[which] if found else None


def written(rng, good, others, share=0.6):
    """What usually is ``good``, else one of ``others``."""
    return good if rng.random() < share else str(rng.choice(others))


def tenths(start, end):
    """The cells between two numbers with one decimal."""
    return set(range(round(10 * start), round(10 * end)))
