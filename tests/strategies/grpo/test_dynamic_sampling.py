"""What is left out of the loss, what is drawn in its place, and weights for completions of another engine."""

import dataclasses
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from remot.data import datamodule
from remot.errors import ConfigError
from remot.losses import DAPOLoss, DrGRPOLoss, GRPOLoss, GSPOLoss, MaskedImportance, TruncatedImportance
from remot.rewards import Reward
from remot.rollout.decoding.engine import generate
from remot.rollout.sampling import SamplingSettings
from remot.strategies import GRPO
from remot.strategies.grpo.dynamic_sampling import DynamicSampling
from remot.strategies.grpo.groups import merged_groups
from remot.strategies.grpo.step import StepSettings, sample_groups
from remot.strategies.objective import StepAddress, prompt_source
from remot.structures import PromptBatch, RewardOutput
from tests.data.handmade import mixed_clips, write_folder
from tests.data.made import data_module
from tests.helpers import assert_close
from tests.strategies.grpo.test_objective import (
    ADDRESS,
    ConstantReward,
    FirstLetterReward,
    assert_same_update,
    objective_of,
    update,
)
from tests.strategies.test_loss_fragments import DrawnAgain
from tests.strategies.test_module import Notebook, fit, is_result, make_module, make_trainer, ready_module
from tests.tiny import make_batch, make_lora_policy, make_policy, randomise_, select


class ByPrompt(Reward):
    """Completions of the prompts named differ, those of others do not."""

    name = "by_prompt"

    def __init__(self, *prompt_ids, successes=0):
        self.prompt_ids = prompt_ids
        self.successes = successes

    def __call__(self, completions, questions):  # noqa: ARG002
        seen = {}
        totals = []
        for question in questions:
            place = seen[question.prompt_id] = seen.get(question.prompt_id, -1) + 1
            totals.append(float(place) if question.prompt_id in self.prompt_ids else 1.0)
        total = torch.tensor(totals)
        return RewardOutput(total, {self.name: total}, total < self.successes)


class Prompts:
    """A source of prompts that remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def redraw(self, step, attempt, num_prompts):
        self.asked.append((step, attempt, num_prompts))
        return make_batch(num_prompts, seed=100 * step + 10 * attempt)


def joined(*batches):
    parts = [[*part] for part in (batches[0].images, batches[0].questions, batches[0].clip_ids)]
    for batch in batches[1:]:
        for held, more in zip(parts, (batch.images, batch.questions, batch.clip_ids), strict=True):
            held.extend(more)
    return PromptBatch(*parts)


def varied_policy(**settings):
    """Completions of different lengths, some of them cut off."""
    policy = make_lora_policy(**settings)
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0
    return policy


# -- leaving out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [GRPOLoss(beta=0.1), DAPOLoss(beta=0.1), DrGRPOLoss(length=6, beta=0.1)])
@pytest.mark.parametrize("micro_batch_prompts", [1, pytest.param(2, marks=pytest.mark.slow), 4])
def test_groups_without_a_difference_are_as_if_they_had_not_been_there(loss, micro_batch_prompts):
    """Prompts 0 and 2 of four: loss, metrics and gradients of a batch of these two."""
    policy, batch = varied_policy(), make_batch(4)
    reward = ByPrompt("0-0", "0-2")
    dropping = objective_of(reward, loss, dynamic_sampling=DynamicSampling())
    prepared = dropping.prepare(policy, batch, ADDRESS, micro_batch_prompts)
    wanted = objective_of(reward, loss).prepare(policy, select(batch, [0, 2]), ADDRESS, 2)
    assert_same_update(update(prepared, policy), update(wanted, policy))
    assert prepared.metrics["dynamic_sampling/frac_kept"] == 0.5
    assert prepared.metrics["dynamic_sampling/redraws"] == 0
    assert prepared.metrics["dynamic_sampling/prompts_drawn"] == 4
    assert prepared.metrics["reward/frac_zero_std"] == 0.5


def test_what_is_left_out_is_not_computed():
    policy, batch = make_lora_policy(), make_batch(4)
    objective = objective_of(ByPrompt("0-1"), GRPOLoss(beta=0.0), dynamic_sampling=DynamicSampling())
    prepared = objective.prepare(policy, batch, ADDRESS, 1)
    calls = []
    policy.core.model.language_model.register_forward_pre_hook(lambda *_: calls.append(1))
    assert len(list(prepared.micro_losses())) == len(calls) == 1


def test_without_it_they_count_in_the_denominator():
    """Negative control: the plain loss of the four prompts is half of that of the two."""
    policy, batch, reward = varied_policy(), make_batch(4), ByPrompt("0-0", "0-2")
    plain, gradients = update(objective_of(reward, GRPOLoss(beta=0)).prepare(policy, batch, ADDRESS, 4), policy)
    dropping = objective_of(reward, GRPOLoss(beta=0), dynamic_sampling=DynamicSampling())
    _, dropped = update(dropping.prepare(policy, batch, ADDRESS, 4), policy)
    name = next(name for name, gradient in dropped.items() if gradient.any())
    assert_close(gradients[name], dropped[name] / 2, rtol=1e-4, atol=1e-7)
    assert plain["ratio_mean"] == pytest.approx(1)


@pytest.mark.parametrize("max_redraws", [0, 3])
def test_nothing_to_learn_anywhere(max_redraws):
    """Attempts are bounded and counted; the loss is 0 and has a gradient of 0."""
    policy, source = make_lora_policy(), Prompts()
    objective = objective_of(ConstantReward(), GRPOLoss(beta=0.1), dynamic_sampling=DynamicSampling(max_redraws))
    prepared = objective.prepare(policy, make_batch(2), StepAddress(0, 5, source), 1)
    totals, gradients = update(prepared, policy)
    assert totals["loss"] == 0
    assert gradients
    assert not any(gradient.any() for gradient in gradients.values())
    assert source.asked == [(5, attempt, 2) for attempt in range(1, max_redraws + 1)]
    assert prepared.metrics["dynamic_sampling/redraws"] == max_redraws
    assert prepared.metrics["dynamic_sampling/prompts_drawn"] == 2 + 2 * max_redraws
    assert prepared.metrics["dynamic_sampling/frac_kept"] == 0


@pytest.mark.parametrize(
    ("successes", "by", "frac_kept"),
    [(0, "total", 1), (0, "success", 0), (2, "success", 1), (3, "success", 0), (3, "total", 1)],
)
def test_a_difference_of_rewards_or_of_successes(successes, by, frac_kept):
    """Totals 0, 1, 2; the first 0, 2 or all 3 of them succeed."""
    policy = make_policy(with_reference=False)
    reward = ByPrompt("0-0", successes=successes)
    objective = objective_of(reward, GRPOLoss(beta=0), dynamic_sampling=DynamicSampling(by=by))
    metrics = objective.prepare(policy, make_batch(1), ADDRESS, 1).metrics
    assert metrics["dynamic_sampling/frac_kept"] == frac_kept


# -- drawing again ------------------------------------------------------------------------------------------------


def test_other_prompts_take_the_places_of_those_without_a_difference():
    """Of three prompts the middle one stays. The first attempt finds one more, the second the last.

    The update is that of a batch of these three.
    """
    policy, batch, source = varied_policy(), make_batch(3), Prompts()
    reward = ByPrompt("0-1", "210-1", "220-0")
    redrawing = objective_of(reward, GRPOLoss(beta=0.1), dynamic_sampling=DynamicSampling(5))
    prepared = redrawing.prepare(policy, batch, StepAddress(0, 2, source), 2)
    assert source.asked == [(2, 1, 2), (2, 2, 1)]
    first, second = (make_batch(2, seed=210), make_batch(1, seed=220))
    wanted_batch = joined(select(first, [1]), select(batch, [1]), second)
    wanted = objective_of(reward, GRPOLoss(beta=0.1)).prepare(policy, wanted_batch, StepAddress(0, 2), 2)
    assert_same_update(update(prepared, policy), update(wanted, policy))
    assert prepared.metrics["dynamic_sampling/redraws"] == 2
    assert prepared.metrics["dynamic_sampling/prompts_drawn"] == 6
    assert prepared.metrics["dynamic_sampling/frac_kept"] == 1


def test_rewards_and_samples_are_reported_for_the_prompts_of_the_loader():
    """Otherwise a curve of rewards would show how prompts are chosen."""
    policy, batch = make_policy(), make_batch(2)
    reward = ByPrompt("0-1", "10-0")
    plain = objective_of(reward).prepare(policy, batch, ADDRESS, 2)
    address = dataclasses.replace(ADDRESS, prompt_source=Prompts())
    redrawn = objective_of(reward, dynamic_sampling=DynamicSampling(1)).prepare(policy, batch, address, 2)
    assert redrawn.metrics["dynamic_sampling/frac_kept"] == 1
    for name, number in plain.metrics.items():
        if name.startswith(("reward/", "completion/")):
            assert redrawn.metrics[name] == number
    assert [sample.question for sample in redrawn.samples] == list(batch.questions)


def test_a_full_batch_draws_nothing_and_is_not_encoded_again():
    policy, source, calls = make_policy(), Prompts(), []
    policy.core.model.visual.register_forward_pre_hook(lambda *_: calls.append(1))
    objective = objective_of(ByPrompt("0-0", "0-1"), dynamic_sampling=DynamicSampling(4))
    objective.prepare(policy, make_batch(2), dataclasses.replace(ADDRESS, prompt_source=source), 2)
    assert source.asked == []
    assert len(calls) == 1


def test_groups_of_several_draws_keep_everything_that_is_theirs():
    """Completions of different lengths are padded, terms and successes follow their row."""
    policy = varied_policy()
    settings = [StepSettings(3, length, objective_of().sampling, FirstLetterReward()) for length in (3, 7)]
    short, _ = sample_groups(policy, make_batch(2, seed=1), StepAddress(0, 0), settings[0])
    long, _ = sample_groups(policy, make_batch(3, seed=2), StepAddress(0, 0), settings[1])
    sources = [(long, 2), (short, 0), (long, 0)]
    both = merged_groups(policy, sources)
    num_tokens = both.rollout.token_ids.shape[-1]
    assert num_tokens == long.rollout.token_ids.shape[-1] > short.rollout.token_ids.shape[-1]
    for row, (draw, source_row) in enumerate(sources):
        mask = both.rollout.completion_mask[row]
        held = draw.rollout.completion_mask[source_row]
        for name in ("token_ids", "logprobs"):
            assert torch.equal(getattr(both.rollout, name)[row][mask], getattr(draw.rollout, name)[source_row][held])
        assert torch.equal(mask.sum(-1), held.sum(-1))
        assert (both.rollout.token_ids[row][:, held.shape[-1] :] == policy.pad_token_id).all()
        assert both.rollout.texts[row] == draw.rollout.texts[source_row]
        assert torch.equal(both.rollout.finished[row], draw.rollout.finished[source_row])
        assert torch.equal(both.rewards[row], draw.rewards[source_row])
        assert torch.equal(both.success[row], draw.success[source_row])
        assert torch.equal(both.terms[:, row], draw.terms[:, source_row])
        assert both.batch.questions[row] is draw.batch.questions[source_row]
    assert both.weights == short.weights == (1.0,)
    assert both.seconds == pytest.approx(short.seconds + long.seconds)


def test_a_resumed_run_draws_what_it_would_have_drawn(tmp_path):
    """Four steps at once, and two and then two more, with the same draws, metrics and weights, bit for bit."""
    grpo = objective_of(OneInThree(), num_completions=2, max_new_tokens=4, dynamic_sampling=DynamicSampling(2))

    def fit(module, max_steps, ckpt_path=None):
        notebook = Notebook()
        trainer = make_trainer(tmp_path, logger=notebook, max_steps=max_steps)
        trainer.fit(module, DrawnAgain(), ckpt_path=ckpt_path)
        return notebook.logged, trainer

    whole, first, second = (ready_module(GRPO(), grpo=grpo) for _ in range(3))
    at_once, _ = fit(whole, 4)
    before, trainer = fit(first, 2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    after, _ = fit(second, 4, tmp_path / "two.ckpt")
    assert sum(step["train/dynamic_sampling/redraws"] for step in at_once) > 0
    for wanted, actual in zip(at_once, before + after, strict=True):
        assert {k: repr(v) for k, v in actual.items() if is_result(k)} == {
            k: repr(v) for k, v in wanted.items() if is_result(k)
        }
    for wanted, actual in zip(whole.policy.parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(wanted, actual)


class OneInThree(FirstLetterReward):
    """A third of the prompts, told by their name, has something to learn."""

    name = "one_in_three"

    def __call__(self, completions, questions):
        output = super().__call__(completions, questions)
        differs = torch.tensor([sum(map(ord, question.prompt_id)) % 3 == 0 for question in questions])
        place = torch.arange(len(questions)) % 2
        total = torch.where(differs, output.total + 10.0 * place, 0.0)
        return RewardOutput(total, {self.name: total}, total > 3)


def test_prompts_of_the_data_module_are_named_by_step_and_attempt(tmp_path):
    """New every time, none that the loader gives, and the same again for the same step and attempt."""
    root = str(write_folder(tmp_path / "clips", mixed_clips(4)))
    settings = {"root": root, "batch_size": 4, "num_train_prompts_per_epoch": 16, "num_val_prompts": 2}
    data = data_module(**settings, num_test_prompts=2)
    data.setup()

    def ids(*arguments):
        return [question.prompt_id for question in data.redraw(*arguments).questions]

    places = [(step, attempt) for step in range(3) for attempt in (1, 2, datamodule.MAX_REDRAWS)]
    named = [name for place in places for name in ids(*place, 4)]
    assert len(set(named)) == len(named) == 4 * len(places)
    assert all(name.startswith("redrawn/") for name in named)
    assert ids(1, 2, 3) == ids(1, 2, 4)[:3]
    assert data.mixed["train"].split == "train"
    assert prompt_source(SimpleNamespace(datamodule=data)) is data
    assert prompt_source(SimpleNamespace(datamodule=object())) is prompt_source(object()) is None
    again = data_module(**settings, num_test_prompts=2)
    again.setup()
    one, other = data.redraw(7, 2, 2), again.redraw(7, 2, 2)
    assert [question.text for question in one.questions] == [question.text for question in other.questions]
    for images, wanted in zip(one.images, other.images, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(images, wanted, strict=True))
    train = {clip.clip_id for clip in data.mixed["train"].clips}
    assert set(one.clip_ids) <= train
    for bad in ((0, 0, 1), (0, datamodule.MAX_REDRAWS + 1, 1), (0, 1, 5)):
        with pytest.raises(ValueError, match="attempt"):
            data.redraw(*bad)
    with pytest.raises(ConfigError, match=str(datamodule.MAX_REDRAWS)):
        DynamicSampling(datamodule.MAX_REDRAWS + 1)


def test_processes_draw_different_prompts(tmp_path, monkeypatch):
    data = data_module(
        root=str(write_folder(tmp_path / "clips", mixed_clips(4))), batch_size=2, num_train_prompts_per_epoch=8
    )
    data.setup()
    named = []
    for rank in range(3):
        monkeypatch.setattr(data, "_place", partial(lambda r: (r, 3), rank))
        named += [q.prompt_id for step in (0, 1) for a in (1, 2) for q in data.redraw(step, a, 2).questions]
    assert len(set(named)) == len(named) == 24


def test_without_a_source_of_prompts_the_key_is_named():
    objective = objective_of(dynamic_sampling=DynamicSampling(1))
    with pytest.raises(ConfigError, match=r"dynamic_sampling.*max_redraws"):
        objective.prepare(make_policy(), make_batch(1), ADDRESS, 1)


def test_loaders_without_a_source_of_prompts_are_refused_before_the_policy_is_loaded(tmp_path):
    module = make_module(GRPO(), grpo=objective_of(dynamic_sampling=DynamicSampling(1)))
    with pytest.raises(ConfigError, match=r"dynamic_sampling.*max_redraws"):
        fit(module, tmp_path)
    assert module.policy is None


@pytest.mark.parametrize("settings", [{"max_redraws": -1}, {"max_redraws": 101}, {"by": "accuracy"}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError, match="dynamic_sampling"):
        DynamicSampling(**settings)


# -- completions that were cut off --------------------------------------------------------------------------------


def test_cut_off_completions_are_compared_but_not_trained_on():
    policy, loss = varied_policy(), Recording(beta=0.1)
    plain = objective_of(loss=loss).prepare(policy, make_batch(4), ADDRESS, 4)
    next(iter(plain.micro_losses()))
    given = loss.given
    masking = objective_of(loss=loss, mask_truncated=True).prepare(policy, make_batch(4), ADDRESS, 4)
    next(iter(masking.micro_losses()))
    mask = loss.given["completion_mask"]
    kept = mask.any(-1)
    settings = StepSettings(3, 6, SamplingSettings(), FirstLetterReward())
    drawn, _ = sample_groups(policy, make_batch(4), StepAddress(0, 0), settings)
    assert torch.equal(kept, drawn.rollout.finished)
    assert 0 < kept.sum() < kept.numel()
    assert torch.equal(mask, given["completion_mask"] & kept[..., None])
    assert torch.equal(loss.given["advantages"], given["advantages"])
    assert loss.given["normalizer"] == given["normalizer"] == 12  # as sequences they count
    share = 1 - kept.float().mean().item()
    assert masking.metrics["completion/frac_masked"] == pytest.approx(share)
    assert masking.metrics["completion/frac_finished"] == pytest.approx(1 - share)
    assert "completion/frac_masked" not in plain.metrics


class Keeping:
    """Keeps what a loss is given."""

    def __call__(self, *tensors, **arguments):
        names = ("logprobs", "old_logprobs", "ref_logprobs", "advantages", "completion_mask")
        self.given = {name: t if t is None else t.detach() for name, t in zip(names, tensors, strict=True)} | arguments
        return super().__call__(*tensors, **arguments)


class Recording(Keeping, GRPOLoss):
    """GRPO that does."""


class RecordingGSPO(Keeping, GSPOLoss):
    """GSPO that does."""


# -- another engine -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("correction", [TruncatedImportance(), MaskedImportance(level="sequence")])
def test_an_engine_that_agrees_needs_no_correction(correction):
    policy, batch = varied_policy(), make_batch(3)
    corrected = objective_of(loss=GRPOLoss(beta=0.1), correction=correction).prepare(policy, batch, ADDRESS, 2)
    plain = objective_of(loss=GRPOLoss(beta=0.1)).prepare(policy, batch, ADDRESS, 2)
    (totals, gradients), wanted = update(corrected, policy), update(plain, policy)
    logged = {name: totals.pop(name) for name in list(totals) if name.startswith("importance/")}
    assert logged == pytest.approx(
        {"importance/ratio_mean": 1, "importance/weight_mean": 1, "importance/frac_bounded": 0}, abs=1e-4
    )
    for name, gradient in gradients.items():
        assert (gradient - wanted[1][name]).norm() <= 1e-3 * wanted[1][name].norm() + 1e-7
    assert totals.keys() == wanted[0].keys()


@pytest.fixture
def other_engine(monkeypatch):
    """A sampler that reports, for every second token, a third of the probability."""

    def generate_elsewhere(*arguments, **settings):
        rollout = generate(*arguments, **settings)
        logprobs = rollout.logprobs.clone()
        logprobs[..., ::2] -= math.log(3)
        return dataclasses.replace(rollout, logprobs=logprobs)

    monkeypatch.setattr("remot.rollout.sources.generate", generate_elsewhere)


@pytest.mark.usefixtures("other_engine")
@pytest.mark.parametrize("micro_batch_prompts", [1, 3])
def test_weights_by_hand(micro_batch_prompts):
    """Ratios 3 and 1 in turn, cut at 2: the weights reach the loss, the means are those of the whole batch's tokens."""
    policy, loss = varied_policy(), Recording(beta=0.1)
    objective = objective_of(loss=loss, correction=TruncatedImportance(2.0))
    prepared = objective.prepare(policy, make_batch(3), ADDRESS, micro_batch_prompts)
    totals, _ = update(prepared, policy)
    mask, weights = loss.given["completion_mask"], loss.given["weights"]
    turn = torch.arange(mask.shape[-1]) % 2 == 0
    assert_close(weights[mask], torch.where(turn, 2.0, 1.0).expand_as(mask)[mask], rtol=1e-4)
    assert torch.equal(loss.given["old_logprobs"], loss.given["logprobs"])
    whole = objective_of(loss=loss).prepare(policy, make_batch(3), ADDRESS, 3)
    next(iter(whole.micro_losses()))
    every = loss.given["completion_mask"]
    share = (every & turn).sum().item() / every.sum().item()
    assert totals["importance/ratio_mean"] == pytest.approx(3 * share + (1 - share), rel=1e-4)
    assert totals["importance/weight_mean"] == pytest.approx(2 * share + (1 - share), rel=1e-4)
    assert totals["importance/frac_bounded"] == pytest.approx(share)


@pytest.mark.usefixtures("other_engine")
def test_a_second_update_compares_with_the_trainer_before_the_first():
    policy, loss = make_lora_policy(), Recording(beta=0.0)
    objective = objective_of(loss=loss, updates_per_rollout=2, correction=TruncatedImportance(5.0))
    prepared = objective.prepare(policy, make_batch(2), ADDRESS, 2)
    next(iter(prepared.micro_losses()))
    first = loss.given
    randomise_(policy.trainable_parameters(), seed=9)
    next(iter(prepared.micro_losses()))
    mask = first["completion_mask"]
    assert torch.equal(loss.given["old_logprobs"], first["logprobs"])
    assert torch.equal(loss.given["weights"], first["weights"])
    assert (loss.given["logprobs"] - first["logprobs"])[mask].abs().max() > 0.01


@pytest.mark.usefixtures("other_engine")
@pytest.mark.parametrize("loss", [Recording(beta=0.0), RecordingGSPO()], ids=["tokens", "sequences"])
def test_without_a_correction_the_ratio_is_that_of_the_updates_alone(loss):
    """How the sampler rounds is no step of the policy: before the first of several updates no ratio is clipped."""
    policy = make_lora_policy()
    prepared = objective_of(loss=loss, updates_per_rollout=2).prepare(policy, make_batch(2), ADDRESS, 2)
    output = next(iter(prepared.micro_losses()))
    before = loss.given["logprobs"]
    assert loss.given["weights"] is None
    assert torch.equal(loss.given["old_logprobs"], before)
    assert output.metrics["ratio_mean"] == pytest.approx(1, abs=1e-6)
    assert output.metrics["clip_fraction"] == 0
    randomise_(policy.trainable_parameters(), seed=9)
    output = next(iter(prepared.micro_losses()))
    assert torch.equal(loss.given["old_logprobs"], before)
    assert output.metrics["clip_fraction"] > 0.1
