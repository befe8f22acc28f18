"""Randomness by address: a seed and a path of integers or words name a stream, and nothing global is touched."""

import hashlib

import numpy as np

Address = int | str


def derive_seed(seed: int, *address: Address) -> int:
    """A 63-bit seed that depends on ``seed`` and every part of ``address``, the same on every machine.

    Different addresses name different streams: words and integers differ, ``(1, "2")`` from ``(1, 2)``, and so
    do the parts, ``("a/b",)`` from ``("a", "b")``.
    """
    # kind and value of each part; a separator within a word is doubled, and no part begins with one
    parts = ("s" + part.replace("/", "//") if isinstance(part, str) else f"i{int(part)}" for part in (seed, *address))
    text = "/".join(parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def numpy_generator(seed: int, *address: Address) -> np.random.Generator:
    """A fresh numpy generator for the stream named by ``seed`` and ``address``."""
    return np.random.default_rng(derive_seed(seed, *address))
