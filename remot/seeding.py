"""Randomness by address: a seed and a path of integers or words name a stream; nothing global changes."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def global_randomness(seed: int, *address: Address) -> Iterator[None]:
    """Name the stream that libraries and users' code draw from the global generators of Python, NumPy and PyTorch.

    Dropout, for one, takes no generator. Afterwards the generators are as they were before.
    """
    import torch  # which takes a second

    stream, cuda = derive_seed(seed, *address), torch.cuda
    devices = list(range(cuda.device_count())) if cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=devices):
        random.seed(stream)
        np.random.seed(stream % 2**32)  # noqa: NPY002
        for generator in (torch.default_generator, *(cuda.default_generators[device] for device in devices)):
            generator.manual_seed(stream)  # torch.manual_seed would look for a GPU each time
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)  # noqa: NPY002
