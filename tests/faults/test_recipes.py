"""Every recipe beside the four strategies is killed in the middle, and ends as an unbroken run does, bit for bit."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from remot.environments import FrameRequests, SecondLook
from remot.rewards import Reward
from remot.rewards.parsing.requests import TimeRequest
from remot.strategies.checkpoint_io import read_checkpoint
from remot.structures import RewardOutput
from tests.data.annotations.objects.test_sims_v import write as write_walk
from tests.data.handmade import mixed_clips, write_folder
from tests.faults.runs import Run, finish, kill_and_go_on, words
from tests.faults.table import row

pytestmark = pytest.mark.slow


class Characters(Reward):
    """A number that differs within a group of random texts."""

    name = "characters"

    def __call__(self, completions, questions):  # noqa: ARG002
        total = torch.tensor([float(sum(map(ord, text)) % 7) for text in completions])
        return RewardOutput(total, {"characters": total}, total > 3)


class Requests(FrameRequests):
    """Reads every response as a request for a frame, as random weights write none, and leaves a file where it does."""

    def requests(self, response):
        Path("asked").touch()
        seconds = (sum(map(ord, response)) % 20) / 10
        return [TimeRequest(seconds, seconds, is_single=True)]


class Looks(SecondLook):
    """Looks at what the right answer names, as random weights name no time."""

    def respond(self, episode):
        Path("asked").touch()
        return super().respond(replace(episode, response=episode.question.response))


REWARD = {"model.grpo.reward": "tests.faults.test_recipes.Characters"}
TURNS = REWARD | {
    "root": "embedded/tasks",
    "model.grpo.turns.environment": "tests.faults.test_recipes.Requests",
    "model.grpo.turns.max_turns": 2,
    "model.grpo.num_completions": 8,
    "model.grpo.max_new_tokens": 32,  # a response that is cut off is the last one
    "model.strategy.sft_steps": 3,
}
#: Tasks of SIMS-V that have something to ask about the hand-made walk of four frames.
ROOMS = ("ObjectSize", "RoomSize")
TASKS = REWARD | {"root": "embedded/tasks", "data.num_train_prompts_per_epoch": 10}
SELECTION = REWARD | {"recipe": "quickstart.yaml", "data.options.selection.scores": "scores.jsonl"}
NARRATED = "[{class_path: MotionContrast, init_args: {narrates: true}}]"
#: What is changed of each recipe, by its file or by what it sets, so that random weights learn something in a moment.
RECIPES = {
    "selection, easy to hard": SELECTION | {"data.options.selection.order": "easy_to_hard"},
    "selection, weighted": SELECTION | {"data.options.selection.order": "weighted"},
    "narrated reasoning": {
        "recipe": "quickstart.yaml",
        "model.strategy": "SFT",
        "model.sft.loss_on": "response",
        "data.tasks": NARRATED,
    },
    "preferences/own_completions.yaml": REWARD,
    "preferences/tpo.yaml": REWARD,
    "preferences/wrong_letters.yaml": {"model.strategy.sft_steps": 3},
    "losses/visd.yaml": REWARD,
    "losses/distillation.yaml": REWARD,
    "losses/ema_grpo.yaml": REWARD,
    "losses/dft.yaml": {"model.strategy": "SFT"},
    "quickstart_revisits.yaml": REWARD | {"data.options.revisits.after": 2, "data.options.revisits.share": 0.5},
    "turns/frame_requests.yaml": TURNS | {"model.scheduler.init_args.milestones": "[3]"},
    "turns/frame_thinker.yaml": TURNS,
    "turns/second_look.yaml": TURNS
    | {
        "model.grpo.turns.environment": "tests.faults.test_recipes.Looks",
        "model.scheduler.init_args.milestones": "[3]",
    },
    "tasks/views.yaml": TASKS,
    "tasks/referring.yaml": TASKS,
    "data/sims_v.yaml": REWARD | {"root": "walks", "data.tasks": str([f"remot.data.tasks.{one}" for one in ROOMS])},
}


@pytest.fixture
def workplace(tmp_path):
    write_folder(tmp_path / "clips", mixed_clips(4))
    walk = write_walk(tmp_path / "walks")
    for number in range(1, 8):
        shutil.copytree(walk, walk.with_name(f"{number:06d}"))
    return tmp_path


#: Parts of a checkpoint that tell how a run came about: Lightning's counters count epochs that were begun again.
STORY = {"callbacks", "loops", "remot_config", "remot_run"}


def state(folder):
    """Weights, averages, optimizer, schedules, moments and the place in the data."""
    (file,) = folder.glob("runs/*/*/last.ckpt")
    return {key: value for key, value in read_checkpoint(file).items() if key not in STORY}


def leaves(value, path=""):
    """Numbers and tensors of a state by their place."""
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {place: leaf for key, one in pairs for place, leaf in leaves(one, f"{path}/{key}").items()}
    return {path: value}


def assert_same_state(found, wanted):
    found, wanted = leaves(found), leaves(wanted)
    assert found.keys() == wanted.keys()
    for place, one in wanted.items():
        same = torch.equal(one, found[place]) if isinstance(one, torch.Tensor) else one == found[place]
        assert same, place


def write_scores(folder, settings):
    """Scores of eight prompts by ``remot data score``, with other counts in them, as random weights are never right."""
    plain = {key: value for key, value in settings.items() if "selection" not in key}
    printed = Run(folder, words("fit", "--print_config", **plain))
    assert printed.end() == 0, printed.text()
    (folder / "recipe.yaml").write_text(printed.text())
    flags = ["--num_prompts", "8", "--num_completions", "4", "--out", "scores.jsonl"]
    scored = Run(folder, ["data", "score", "--config", "recipe.yaml", *flags])
    assert scored.end() == 0, scored.text()
    file = folder / "scores.jsonl"
    header, *scores = (json.loads(line) for line in file.read_text().splitlines())
    counted = [score | {"num_right": 1 + number % 3} for number, score in enumerate(scores)]
    file.write_text("".join(json.dumps(line) + "\n" for line in (header, *counted)))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_killed_run_of_a_recipe_ends_as_an_unbroken_one(workplace, recipe):
    settings = {"recipe": recipe, "trainer.max_steps": 6, "progress.every_seconds": 0} | RECIPES[recipe]
    if "data.options.selection.scores" in settings:
        write_scores(workplace, settings)
    plain = workplace / "plain"
    plain.mkdir()
    for name in ("clips", "walks", "scores.jsonl"):
        (plain / name).symlink_to(workplace / name)
    code, text = finish(plain, **settings)
    assert code == 0, text
    assert (plain / "asked").exists() == recipe.startswith("turns/")
    wanted = state(plain)
    assert any(one["exp_avg"].any() for one in wanted["optimizer_states"][0]["state"].values()), "it has learnt"
    killed = kill_and_go_on(workplace, random.Random(7), 2, **settings)
    assert_same_state(state(workplace), wanted)
    row(f"SIGKILL, {recipe}", killed, killed)
    assert killed >= 1
