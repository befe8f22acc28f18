"""Several configuration files on one command line count as for training: later ones on top."""

import json
from pathlib import Path

import pytest
import yaml

from remot.cli import main
from remot.commands.data.sources import read_data
from remot.commands.parsing.config_files import as_one_option, merged, named, read_configs
from remot.errors import ConfigError
from tests.helpers import PROJECT

CONFIGS = PROJECT / "configs"
OVERRIDES = CONFIGS / "systems" / "quickstart_overrides.yaml"


@pytest.mark.parametrize(
    ("below", "above", "wanted"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}}, {"a": 1, "b": {"c": 4, "d": 3}}),
        ({"tasks": [1, 2]}, {"tasks": [3]}, {"tasks": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        (
            {"r": {"class_path": "A", "init_args": {"x": 1}}},
            {"r": {"class_path": "B", "init_args": {"y": 2}}},
            {"r": {"class_path": "B", "init_args": {"y": 2}}},
        ),
        (
            {"r": {"class_path": "A", "init_args": {"x": 1}}},
            {"r": {"class_path": "A", "init_args": {"y": 2}}},
            {"r": {"class_path": "A", "init_args": {"x": 1, "y": 2}}},
        ),
    ],
)
def test_merging_by_hand(below, above, wanted):
    assert merged(below, above) == wanted


def test_options_become_one():
    words = ["DIR", "--config", "a b.yaml", "--seed", "3", '--config=c".yaml']
    assert as_one_option(words) == ["DIR", "--seed", "3", '--config=["a b.yaml", "c\\".yaml"]']
    assert as_one_option(["--seed", "3"]) == ["--seed", "3"]
    assert as_one_option(["--config"]) == ["--config"]
    words = ["--by", "lr", "seed", "--plot", "a.png", "--by=rank"]
    assert as_one_option(words, "--by", takes_all=True) == ["--plot", "a.png", '--by=["lr", "seed", "rank"]']


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "list.yaml").write_text("[1]")
    for name, told in (("list.yaml", "is no mapping"), ("missing.yaml", "cannot be read")):
        with pytest.raises(ConfigError, match=f"{name} {told}"):
            read_configs([OVERRIDES, tmp_path / name])
    assert read_configs(None) == {}
    assert named([Path("a"), Path("b")]) == "a, b"


def test_a_recipe_with_the_overrides_asks_its_tasks():
    """As `remot fit` with the same files: the recipe's tasks about the overrides' clips."""
    recipe = CONFIGS / "systems" / "spacer.yaml"
    data = read_data([recipe, OVERRIDES])
    told = [yaml.safe_load(file.read_text())["data"] for file in (recipe, OVERRIDES)]
    assert len(data.tasks) == len(told[0]["tasks"])
    assert data.batch_size == told[1]["batch_size"]
    assert read_data([OVERRIDES, recipe]).batch_size == told[0]["batch_size"]


def test_commands_take_several(tmp_path, capsys):
    """The audit of a system's tasks by the command line of its recipe's header, shortened."""
    recipe = CONFIGS / "systems" / "videochat_r1.yaml"
    main(
        [
            "data",
            "audit",
            "--config",
            str(recipe),
            "--config",
            str(OVERRIDES),
            "--num_triplets",
            "18",
            "--format",
            "json",
        ]
    )
    told = json.loads(capsys.readouterr().out)
    assert "temporal_grounding" in json.dumps(told)
    rows = tmp_path / "rows.jsonl"
    row = {"task": "temporal_grounding", "completion": "<think>a</think><answer>1 to 2</answer>"}
    rows.write_text(json.dumps(row | {"reference": {"intervals": [[1, 2]]}}) + "\n")
    main(["score", "--config", str(recipe), "--config", str(CONFIGS / "rewards" / "tempr1.yaml"), "--input", str(rows)])
    assert "localisation" in json.loads(capsys.readouterr().out)["parts"]
