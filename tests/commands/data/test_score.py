"""``remot data score``: counts of right completions by prompt, continued after a kill, and taken by the data module."""

import json

import pytest
import yaml

from remot.cli import main
from remot.data.datamodule import MotionDataModule
from remot.data.datasets.selection import PromptSelection, read_scores
from remot.data.prompt_data import DataOptions
from remot.errors import ConfigError
from remot.locks import locked
from tests.data.handmade import mixed_clips, write_folder
from tests.tiny import model_folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("score")
    content = {
        "seed_everything": 5,
        "root": str(write_folder(folder / "clips", mixed_clips(4))),
        "model": {
            "policy": {"source": {"pretrained": str(model_folder()), "max_pixels": 4096}},
            "grpo": {"num_completions": 4, "max_new_tokens": 5},
        },
        "data": {"batch_size": 2, "num_train_prompts_per_epoch": 8, "options": {"require_splits": False}},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return folder / "recipe.yaml"


def score(recipe, out, num_prompts=4, *more):
    words = ["--config", recipe, "--out", out, "--num_prompts", num_prompts, "--num_completions", 3, *more]
    main(["data", "score", *(str(word) for word in words)])


@pytest.fixture(scope="module")
def whole(recipe):
    score(recipe, recipe.parent / "whole.jsonl")
    return recipe.parent / "whole.jsonl"


def test_each_prompt_is_scored(whole):
    header, scores = read_scores(whole)
    assert (header["seed"], header["max_new_tokens"]) == (5, 5)
    assert [one.prompt_id for one in scores] == [f"train/0/{number}" for number in range(4)]
    assert {(one.task, one.num_completions) for one in scores} == {("motion_contrast", 3)}
    assert all(one.num_cut_off <= 3 for one in scores)


@pytest.mark.parametrize("kept", [-1, 1, 3])
def test_a_killed_command_is_continued(recipe, whole, tmp_path, kept):
    """With a line half written; what follows is what it would have been."""
    lines = whole.read_text().splitlines(keepends=True)
    (tmp_path / "s.jsonl").write_text("".join(lines[: kept + 1]) + lines[kept + 1][:20])
    score(recipe, tmp_path / "s.jsonl")
    assert (tmp_path / "s.jsonl").read_text() == whole.read_text()


def test_the_configuration_that_a_run_has_written_means_the_same(recipe, whole, tmp_path):
    """It names the class of the objective."""
    content = yaml.safe_load(recipe.read_text())
    content["model"]["grpo"] = {"class_path": "remot.GRPOObjective", "init_args": content["model"]["grpo"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    score(tmp_path / "config.yaml", tmp_path / "s.jsonl")
    assert (tmp_path / "s.jsonl").read_text() == whole.read_text()


def test_other_settings_are_not_mixed(recipe, whole, tmp_path, capsys):
    (tmp_path / "s.jsonl").write_text(whole.read_text())
    with pytest.raises(SystemExit):
        score(recipe, tmp_path / "s.jsonl", 4, "--seed", 6)
    assert "seed" in capsys.readouterr().err
    assert (tmp_path / "s.jsonl").read_text() == whole.read_text()


def test_the_data_module_takes_the_scores(recipe, whole, tmp_path):
    """Scores are made up, so that prompts 1 and 2 are kept, the second one first."""
    header, *lines = whole.read_text().splitlines()
    rights = {1: 1, 2: 2}
    made_up = [json.loads(line) | {"num_right": rights.get(k, 0)} for k, line in enumerate(lines)]
    (tmp_path / "s.jsonl").write_text("\n".join([header, *map(json.dumps, made_up)]))

    def data(seed=5, **selection):
        chosen = PromptSelection(tmp_path / "s.jsonl", **selection)
        options = DataOptions(seed=seed, require_splits=False, selection=chosen)
        root = str(recipe.parent / "clips")
        return MotionDataModule(root, batch_size=2, num_train_prompts_per_epoch=8, options=options)

    module = data(order="easy_to_hard")
    module.setup()
    names = [question.prompt_id for batch in module.train_dataloader() for question in batch.questions]
    assert names == ["train/0/2", "train/0/1"] * 4
    assert any("2 of 4 scored prompts" in line for line in module.describe())
    with pytest.raises(ConfigError, match="seed"):
        data(seed=6).setup()


def test_other_weights_of_the_same_name_and_another_reward_are_not_mixed(recipe, whole, tmp_path, capsys):
    header, first, *_ = whole.read_text().splitlines(keepends=True)
    for key, other in (("weights_hash", "0" * 64), ("reward", {"class_path": "remot.rewards.ExactReward"})):
        (tmp_path / "s.jsonl").write_text(json.dumps(json.loads(header) | {key: other}) + "\n" + first)
        with pytest.raises(SystemExit):
            score(recipe, tmp_path / "s.jsonl")
        assert f"another {key}" in capsys.readouterr().err


def test_a_file_that_another_process_writes_is_left_to_it(recipe, whole, tmp_path, capsys):
    file = tmp_path / "s.jsonl"
    file.write_text(whole.read_text())
    with locked(file), pytest.raises(SystemExit):
        score(recipe, file, 6)
    assert "another process" in capsys.readouterr().err
    assert file.read_text() == whole.read_text()
