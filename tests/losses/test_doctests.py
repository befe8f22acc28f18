"""The examples in the docstrings of losses and advantages run, and none of these functions is without one."""

import doctest
import importlib
import inspect

import pytest

MODULES = ["advantages", "aggregate", "credit", "distillation", "functional", "importance", "kl", "sft", "surrogate"]
#: Checks, conversions and parts of the functions that have the examples.
WITHOUT = {
    *("masked_batch", "policy_loss", "log_ratio", "zero_where_masked", "all_equal"),
    *("token_count", "normalizer_of", "aggregate"),
}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run_and_none_is_missing(name):
    module = importlib.import_module(f"remot.losses.{name}")
    found = doctest.testmod(module)
    assert found.failed == 0
    public = {
        key: function
        for key, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not key.startswith("_")
    }
    missing = {key for key, function in public.items() if ">>>" not in (function.__doc__ or "")}
    assert missing - WITHOUT == set()
    assert found.attempted >= len(public.keys() - WITHOUT)
