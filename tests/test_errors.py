"""Hints about names that are unknown."""

import pytest

from remot.errors import did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("gripp", ["camera_yaw", "gripper"], "did you mean 'gripper'?"),
        (2024, ["camera_yaw", "2025"], "did you mean '2025'?"),
        ("x", ["camera_yaw", "gripper"], "choose from camera_yaw, gripper"),
        ("x", [], "choose from nothing"),
        ("x", ["a\n", "b" * 100], f"choose from 'a\\n', {'b' * 80}"),
        ("x", [f"{number:04}" for number in range(33)], "0028, 0029 and 3 more"),
    ],
)
def test_the_nearest_name_or_all_of_them(name, known, hint):
    assert did_you_mean(name, iter(known)).endswith(hint)


def test_what_stands_before_the_names():
    assert did_you_mean("x", ["a{}b"], "there are") == "there are a{}b"
    assert did_you_mean("x", ["a", "1b2c"], "it has", ["a"]) == "it has a"
