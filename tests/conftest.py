"""Shared by all tests: offline, no leaked random state, marks that cannot be skipped in silence."""

import os
import random

import numpy as np
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


def pytest_collection_modifyitems(items):
    """Skip CUDA tests where there is none, unless the run says that a missing GPU is a failure."""
    if torch.cuda.is_available() or os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        return
    for item in items:
        if item.get_closest_marker("needs_cuda") is not None:
            item.add_marker(pytest.mark.skip(reason="no CUDA device; FAIL_WITHOUT_CUDA=1 makes this a failure"))


@pytest.fixture(autouse=True)
def _keep_global_random_state():
    """Give the global generators back as they were."""
    python, legacy, tensor = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    random.setstate(python)
    np.random.set_state(legacy)  # noqa: NPY002
    torch.set_rng_state(tensor)
