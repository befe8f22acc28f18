"""Shared by all tests: offline, no leaked random state, marks that cannot be skipped in silence."""

import gc
import os
import random

import numpy as np
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


#: Processes that `-n auto` starts at most: each of them imports torch and collects all tests.
MAX_WORKERS = 4


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """How many processes ``-n auto`` is; each gets its share of the cores, which torch would otherwise take whole."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    num_workers = min(MAX_WORKERS, num_cores)
    os.environ.setdefault("OMP_NUM_THREADS", str(num_cores // num_workers))
    return num_workers


@pytest.hookimpl(hookwrapper=True)
def pytest_collection():
    """What is imported and collected stays: the garbage collector need not look through it, now or in any test."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items):
    """Skip CUDA tests where there is none, unless the run says that a missing GPU is a failure."""
    if torch.cuda.is_available() or os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        return
    for item in items:
        if item.get_closest_marker("needs_cuda") is not None:
            item.add_marker(pytest.mark.skip(reason="no CUDA device; FAIL_WITHOUT_CUDA=1 makes this a failure"))


@pytest.fixture(scope="session")
def parser_of_one_subcommand():
    """Training commands build the parser of their own subcommand, which takes a third of the time of all four.

    Processes of their own, as ``test_sigterm_of_a_process_saves_and_exits_with_143`` starts, build all.
    """
    from remot.commands.training.cli import RemotCLI
    from remot.commands.training.parser import RemotParser

    every = RemotCLI.subcommands

    def asked_for():
        return {name: skipped for name, skipped in every().items() if name in RemotParser.arguments[:1]} or every()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RemotCLI, "subcommands", staticmethod(asked_for))
        yield


@pytest.fixture(autouse=True)
def _keep_global_random_state():
    """Give the global generators back as they were."""
    python, legacy, tensor = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    random.setstate(python)
    np.random.set_state(legacy)  # noqa: NPY002
    torch.set_rng_state(tensor)
