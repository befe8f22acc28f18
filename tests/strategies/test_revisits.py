"""Prompts that are asked again in a real run: those whose groups differed, and a resumed run asks the same ones."""

import pytest
import torch

from remot.data import MotionDataModule
from remot.data.datasets.revisits import Revisits
from remot.data.prompt_data import DataOptions
from remot.rewards import Reward
from remot.strategies import GRPO, GRPOObjective
from remot.structures import RewardOutput
from tests.data.handmade import mixed_clips, write_folder
from tests.strategies.test_module import Notebook, is_result, make_trainer, ready_module

OPTIONS = DataOptions(revisits=Revisits(share=0.5, after=2, within=3))


class OddPromptsDiffer(Reward):
    """Completions of prompts with an odd number differ in their reward."""

    name = "odd"

    def __call__(self, completions, questions):
        odd = torch.tensor([int(question.prompt_id.split("/")[2]) % 2 for question in questions])
        total = odd * torch.arange(len(completions)).float()
        return RewardOutput(total, {"odd": total}, total > 0)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return str(write_folder(tmp_path_factory.mktemp("clips"), mixed_clips(5)))


def run(root, folder, max_steps, ckpt_path=None, options=OPTIONS, num_workers=0):
    """Prompts of each step, what was logged, weights, and the trainer."""
    grpo = GRPOObjective(num_completions=2, max_new_tokens=3, reward=OddPromptsDiffer())
    module, asked, notebook = ready_module(GRPO(), grpo=grpo), [], Notebook()
    module.on_train_batch_start = lambda batch, _: asked.append([question.prompt_id for question in batch.questions])
    data = MotionDataModule(
        root, batch_size=4, num_train_prompts_per_epoch=12, options=options, num_workers=num_workers
    )
    trainer = make_trainer(folder, logger=notebook, max_steps=max_steps)
    trainer.fit(module, data, ckpt_path=ckpt_path)
    weights = [p.detach().clone() for p in module.policy.trainable_parameters()]
    return asked, notebook.logged, weights, trainer


def numbers(asked):
    """Over all epochs of 12 prompts."""
    return [[12 * int(name.split("/")[1]) + int(name.split("/")[2]) for name in step] for step in asked]


def test_two_steps_and_two_more_are_four_and_ask_what_differed(root, tmp_path):
    whole, logged, weights, _ = run(root, tmp_path, 4)
    steps = numbers(whole)
    assert steps[:2] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    again = [set(step) - set(range(4 * number, 4 * number + 4)) for number, step in enumerate(steps)]
    assert again[2] == {1, 3}  # batch 2 lies in the same epoch as what it asks again
    assert len(again[3]) == 2
    assert again[3] <= {1, 3, 5, 7}

    begun, first, _, trainer = run(root, tmp_path, 2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    continued, second, resumed, _ = run(root, tmp_path, 4, ckpt_path=tmp_path / "two.ckpt")
    assert begun + continued == whole
    for wanted, found in zip(logged, first + second, strict=True):
        assert {name: repr(wanted[name]) for name in filter(is_result, wanted)} == {
            name: repr(found[name]) for name in filter(is_result, wanted)
        }
    assert all(torch.equal(one, other) for one, other in zip(weights, resumed, strict=True))


def test_without_revisits_nothing_comes_again_or_is_kept(root, tmp_path):
    asked, _, _, trainer = run(root, tmp_path, 3, options=DataOptions())
    assert numbers(asked) == [[4 * step + place for place in range(4)] for step in range(3)]
    assert "revisited" not in trainer.datamodule.state_dict()


@pytest.mark.slow
def test_workers_change_nothing(root, tmp_path):
    options = DataOptions(revisits=Revisits(share=0.5, after=4, within=3))
    assert run(root, tmp_path, 7, options=options)[0] == run(root, tmp_path, 7, options=options, num_workers=1)[0]
