"""Every file under ``configs/preferences`` builds what it says on top of the recipe its header names."""

import re

import pytest
import yaml
from jsonargparse import ArgumentParser

from remot.strategies import DPOObjective, Strategy
from tests.helpers import PROJECT

RECIPES = sorted((PROJECT / "configs" / "preferences").glob("*.yaml"))
every_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def built(path):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DPOObjective, "dpo")
    parser.add_subclass_arguments(Strategy, "strategy")
    return parser.instantiate_classes(parser.parse_object(yaml.safe_load(path.read_text())["model"]))


@every_recipe
def test_header_states_how_to_launch(path):
    header = path.read_text().split("\nmodel:")[0]
    base, own = re.search(r"remot fit --config (\S+) --config (\S+) --root YOUR_CLIPS", header).groups()
    assert (PROJECT / own, (PROJECT / base).is_file()) == (path, True)
    assert "arXiv" in header.splitlines()[0]


@every_recipe
def test_builds_what_it_says(path):
    said, held = yaml.safe_load(path.read_text())["model"], built(path)
    assert (held.strategy.name, held.strategy.phases[-1]) == (said["strategy"]["class_path"], "DPO")
    pairs = said["dpo"]["pairs"]
    assert f"remot.strategies.{type(held.dpo.pairs).__name__}" == pairs["class_path"]
    plain = {name: value for name, value in pairs["init_args"].items() if not isinstance(value, dict)}
    assert {name: getattr(held.dpo.pairs, name) for name in plain} == plain


def test_the_frozen_frames_of_tpo_are_sampled():
    counterfactual = built(PROJECT / "configs" / "preferences" / "tpo.yaml").dpo.pairs.counterfactual
    assert (counterfactual.name, counterfactual.num_completions, counterfactual.greedy) == ("frozen", 2, False)
