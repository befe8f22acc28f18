"""Every file under ``configs/turns`` runs as its header says, and the environment of the documentation works."""

import re

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from remot.environments import Environment, Episode
from remot.strategies import GRPOObjective, SFTObjective, Strategy
from tests.helpers import PROJECT, make_question

RECIPES = sorted((PROJECT / "configs" / "turns").glob("*.yaml"))
every_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


@every_recipe
def test_builds_what_it_says(path):
    said = yaml.safe_load(path.read_text())["model"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(GRPOObjective, "grpo")
    parser.add_class_arguments(SFTObjective, "sft")
    parser.add_subclass_arguments(Strategy, "strategy")
    held = parser.instantiate_classes(parser.parse_object({key: said[key] for key in ("grpo", "sft", "strategy")}))
    assert (held.strategy.name, held.strategy.phases) == ("SFTThenGRPO", ("SFT", "GRPO"))
    for turns in (held.grpo.turns, held.sft.turns):
        wanted = dict(said["grpo"]["turns"])
        environment = wanted.pop("environment")
        assert {name: getattr(turns, name) for name in wanted} == wanted
        assert f"remot.environments.{type(turns.environment).__name__}" == environment["class_path"]
        assert {name: getattr(turns.environment, name) for name in environment["init_args"]} == environment["init_args"]
    assert f"remot.rewards.{type(held.grpo.scorer).__name__}" == said["grpo"]["reward"]["class_path"]


@every_recipe
def test_header_states_how_to_launch(path):
    base, own = re.search(r"remot fit --config (\S+) --config (\S+)", path.read_text()).groups()
    assert (PROJECT / own, (PROJECT / base).is_file()) == (path, True)


def test_the_environment_of_the_documentation():
    source = re.search(r"```python\n(.*?)```", (PROJECT / "docs" / "turns.md").read_text(), re.DOTALL)[1]
    names = {}
    exec(source, names)
    crop = names["Crop"]()
    assert isinstance(crop, Environment)
    lines = source.split("class Crop")[1].strip().splitlines()
    assert len(lines) <= 20
    image = torch.arange(3 * 64 * 64).remainder(251).to(torch.uint8).view(3, 64, 64)

    def reply(response):
        return crop.respond(Episode(make_question(), response, images=(image,), turns_left=2, images_left=4))

    assert reply("<crop>[(8, 40)]</crop>").images[0].equal(image[..., 8:40])
    assert reply("<answer>A</answer>") is None
    for hostile in ("", "<crop>[(8, 400)]</crop>", "<crop>[(8, 9)]</crop>", "<crop>[(8, 1" + "0" * 400 + ")]</crop>"):
        assert reply(hostile).is_refused
