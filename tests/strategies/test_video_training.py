"""Training on prompts with videos, from one update of a random policy to a run of remot-tiny with pages and answers."""

import math
import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader

from remot.callbacks import CompletionSamples, HeldOutEvaluation
from remot.losses import GRPOLoss
from remot.models import FullWeights, ModelSource
from remot.rollout.sampling import SamplingSettings
from remot.strategies import AlternatingSFTGRPO, GRPOObjective, PolicySettings, PostTrainingModule, SFTObjective
from remot.strategies.grpo.groups import merged_groups
from remot.strategies.grpo.step import StepSettings, sample_groups
from remot.strategies.objective import StepAddress
from tests.strategies.grpo.test_objective import (
    ADDRESS,
    FirstLetterReward,
    RecordingLoss,
    assert_same_update,
    objective_of,
    update,
)
from tests.strategies.test_module import Notebook, RandomPrompts, make_trainer
from tests.tiny import (
    FAMILIES,
    make_batch,
    make_lora_policy,
    make_mixed_batch,
    make_policy,
    make_video,
    moved,
    snapshot,
)


@pytest.mark.parametrize(
    ("family", "train_vision"),
    [
        ("qwen3_vl", True),
        ("qwen2_5_vl", False),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (("qwen3_vl", False), ("qwen2_5_vl", True))),
    ],
)
def test_micro_batches_change_nothing(family, train_vision):
    """Four prompts of different kinds in one, two or four parts, reinforced and supervised."""
    policy, batch = make_lora_policy(family, train_vision=train_vision), make_mixed_batch()
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0
    for objective in (objective_of(loss=GRPOLoss(beta=0.1)), SFTObjective(loss_on="response")):
        updates = [update(objective.prepare(policy, batch, ADDRESS, size), policy) for size in (4, 2, 1)]
        assert all(gradient.any() for gradient in updates[0][1].values())
        for other in updates[1:]:
            assert_same_update(other, updates[0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("train_vision", [False, True])
def test_first_ratio_is_exactly_one_and_kl_exactly_zero(family, train_vision):
    policy = make_policy(family, FullWeights(), train_vision=train_vision)
    loss = RecordingLoss(beta=0.1)
    for output in objective_of(loss=loss).prepare(policy, make_mixed_batch(), ADDRESS, 2).micro_losses():
        logprobs, old, reference, _, mask, _ = loss.given
        assert torch.equal(logprobs, old)
        assert torch.equal(logprobs[mask], reference[mask])
        assert output.metrics["kl"] == 0


def test_groups_of_several_draws_keep_their_videos():
    """Dynamic sampling lays the prompts of several draws out anew."""
    policy = make_policy()
    settings = StepSettings(2, 4, SamplingSettings(), FirstLetterReward())
    one, other = (sample_groups(policy, make_mixed_batch(seed), StepAddress(0, 0), settings)[0] for seed in (0, 1))
    both = merged_groups(policy, [(other, 2), (one, 0)])
    assert [len(videos) for videos in both.batch.videos] == [2, 1]
    assert both.encoded.prompts.videos.counts == (2, 1)
    with torch.no_grad():
        scored = policy.completion_logprobs(both.encoded, both.rollout.token_ids)
    mask = both.rollout.completion_mask
    assert (scored - both.rollout.logprobs)[mask].abs().max() < 1e-5


class VideoPrompts(RandomPrompts):
    """One video each, of 2 to 5 frames, and sometimes an image."""

    def batch(self, seed):
        batch = make_batch(2, seed=seed)
        batch.images = [batch.images[0][:1], []]
        batch.videos = [[make_video(2 + (seed + row) % 4, seed=seed)] for row in range(2)]
        batch.questions = [replace(question, prompt_id=f"v{seed}-{q}") for q, question in enumerate(batch.questions)]
        return batch

    def train_dataloader(self):
        return DataLoader([self.batch(seed) for seed in range(4)], batch_size=None)

    def val_dataloader(self):
        return DataLoader([self.batch(50)], batch_size=None)

    test_dataloader = predict_dataloader = val_dataloader


@pytest.mark.slow  # tests/test_own_questions.py trains it on videos in the fast tier
def test_remot_tiny_trains_on_videos(tmp_path, monkeypatch):
    """It has never seen one. A supervised and a reinforced step, held-out answers, pages and predictions go through."""
    monkeypatch.chdir(tmp_path)
    pages = {}
    for module_name in ("samples", "held_out"):
        monkeypatch.setattr(
            f"remot.callbacks.{module_name}.log_samples_html", lambda _, page, name, *__: pages.__setitem__(name, page)
        )
    grpo = GRPOObjective(num_completions=2, max_new_tokens=6, loss=GRPOLoss(beta=0.05), reward=FirstLetterReward())
    module = PostTrainingModule(
        PolicySettings(ModelSource("remot-tiny")),
        strategy=AlternatingSFTGRPO(k_sft=1, k_grpo=1),
        grpo=grpo,
        optimizer=partial(torch.optim.AdamW, lr=0.01),
    )
    module.evaluation = replace(module.evaluation, max_new_tokens=4)
    module.configure_model()
    before, notebook = snapshot(module.policy), Notebook()
    callbacks = [CompletionSamples(every_n_steps=1), HeldOutEvaluation()]
    trainer = make_trainer(tmp_path, max_steps=2, logger=notebook, callbacks=callbacks)
    trainer.fit(module, VideoPrompts())
    assert [math.isfinite(step["train/loss"]) for step in notebook.logged] == [True, True]
    assert moved(module.policy, before)
    answers = trainer.predict(module, VideoPrompts())
    assert [answer["prompt_id"] for answer in answers[0]] == ["v50-0", "v50-1"]
    assert set(pages) == {"held_out_base", "held_out_final", *(name for name in pages if name.startswith("step_"))}
    assert len(pages) >= 3
    for page in pages.values():
        assert len(re.findall(r"<li>video 1: \d frames</li>", page)) == 2
        assert page.count("image 1</figcaption>") == 1
        assert "<figcaption>0.50 s</figcaption>" in page
