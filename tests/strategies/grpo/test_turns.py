"""Conversations in a step: log-probabilities and gradients of the whole conversation, and what carries no loss."""

from dataclasses import replace

import pytest
import torch

from remot.environments import TurnSettings
from remot.errors import ConfigError
from remot.evaluation.benchmark import EvaluationSettings, answer_batch
from remot.evaluation.perception import IterativePerception
from remot.losses import Entropy, GRPOLoss
from remot.models import LoRA
from remot.rollout.sampling import SamplingSettings
from remot.strategies import GRPO, PostTrainingModule, PrivilegedTeacher, ShuffledFrames
from remot.strategies.grpo.dynamic_sampling import DynamicSampling
from remot.strategies.objective import StepAddress
from tests.models.test_parity import (
    KINDS,
    assert_same_gradients,
    gradients_of,
    largest_gap,
    naive_inputs,
    naive_logits,
    weights_like,
)
from tests.rollout.test_turns import Shows, talking
from tests.strategies.grpo.test_objective import ADDRESS, FirstLetterReward, assert_same_update, objective_of, update
from tests.strategies.test_module import fit, grpo_objective, is_result, ready_module
from tests.tiny import FAMILIES, make_batch, make_lora_policy, make_mixed_batch, make_policy, select


def prepared(policy, environment=None, *, size=2, batch=None, turns=None, address=ADDRESS, **settings):
    turns = turns or TurnSettings(environment or Shows(), max_turns=3)
    objective = objective_of(FirstLetterReward(), turns=turns, **settings)
    return objective.prepare(policy, batch or make_batch(3), address, size)


def whole(losses):
    """All prompts and completions at once."""
    (part,) = losses.parts(len(losses.encoded))
    return part


def naive_conversation(policy, batch, losses, environment, place):
    """All tokens, images' tensors, and positions of the policy's tokens of one conversation, written out by hand."""
    row, column = place
    question = replace(batch.questions[row], text=batch.questions[row].text + environment.instructions(None))
    inputs = [naive_inputs(policy, batch.images[row], question, batch.videos[row])]
    ids, mask = losses.rollout.token_ids[row, column], losses.rollout.completion_mask[row, column]
    held = losses.conversations
    columns = [slice(0, held.num_first), *(turn.columns for turn in held.later if place in turn.prompts)]
    pieces, positions, length = [inputs[0]["input_ids"][0]], [], len(inputs[0]["input_ids"][0])
    for number, part in enumerate(columns):
        said = ids[part][mask[part]]
        positions += range(length, length + len(said))
        pieces.append(said)
        if number < len(columns) - 1:
            images, text = environment.shown(batch.questions[row].prompt_id, column, number + 1)
            shown = "<|vision_start|><|image_pad|><|vision_end|>" * len(images)
            # The completion has written the end of its turn itself.
            reply = f"\n<|im_start|>user\n{shown}{text}<|im_end|>\n<|im_start|>assistant\n"
            inputs.append(policy.processor(text=[reply], images=[images] if images else None, return_tensors="pt"))
            pieces.append(inputs[-1]["input_ids"][0])
        length = sum(map(len, pieces))
    visual = {name: [one[name] for one in inputs if name in one] for name in ("pixel_values", "image_grid_thw")}
    together = {name: torch.cat(values) for name, values in visual.items() if values}
    moving = {name: inputs[0][name] for name in inputs[0] if "video" in name or "second" in name}
    return {"input_ids": torch.cat(pieces)[None], **together, **moving}, positions


def naive_scores(policy, batch, losses, environment, temperature=1.0):
    """Log-probabilities of all policy tokens, conversation by conversation, by one plain forward pass over each."""
    rows = []
    for row in range(len(batch)):
        for column in range(losses.rollout.token_ids.shape[1]):
            inputs, positions = naive_conversation(policy, batch, losses, environment, (row, column))
            logits = naive_logits(policy.core, inputs)[[position - 1 for position in positions]]
            logits = (logits + policy.logit_bias) / temperature
            tokens = inputs["input_ids"][0, positions]
            rows.append(torch.log_softmax(logits, -1).gather(-1, tokens[:, None])[:, 0])
    return torch.cat(rows)


@pytest.mark.parametrize(
    "family", ["qwen3_vl", *(pytest.param(one, marks=pytest.mark.slow) for one in FAMILIES if one != "qwen3_vl")]
)
@pytest.mark.parametrize(("kind", "sharing"), [*((kind, "on") for kind in KINDS), ("lora", "off")])
def test_turns_equal_the_plain_pass_over_the_whole_conversation(family, kind, sharing):
    policy, batch, environment = talking(KINDS[kind](family, prefix_sharing=sharing)), make_batch(3), Shows()
    losses = prepared(policy, environment, size=3, batch=batch, loss=GRPOLoss(beta=0.1)).micro_losses
    counts = [len(turn.prompts) for turn in losses.conversations.later]
    assert len(counts) == 2
    assert 0 < counts[1] <= counts[0] < 9, "conversations of one turn, and of three"
    mask = losses.rollout.completion_mask
    packed = losses._logprobs(policy.encode(losses.encoded.prompts), whole(losses))[mask]
    assert largest_gap(packed, losses.rollout.logprobs[mask]) < 1e-5, "the sampler draws with the same"
    weights = weights_like(packed)
    actual = gradients_of(policy, (packed * weights).sum())
    naive = naive_scores(policy, batch, losses, environment)
    assert packed.shape == naive.shape
    assert largest_gap(packed, naive) < 1e-5
    expected = gradients_of(policy, (naive * weights).sum())
    assert_same_gradients(actual, expected)
    assert all(bool(gradient.any()) for gradient in expected.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_first_prompts_with_videos_and_a_temperature(family):
    """Prompts of images and videos, of two videos, of images, and of words only, which get their first image later."""
    policy, batch, environment = talking(make_lora_policy(family)), make_mixed_batch(), Shows()
    sampling = SamplingSettings(temperature=0.7)
    losses = prepared(policy, environment, batch=batch, sampling=sampling, loss=GRPOLoss(beta=0.1)).micro_losses
    assert {row for turn in losses.conversations.later for row, _ in turn.prompts} == {0, 1, 2, 3}
    found = losses._logprobs(losses.encoded, whole(losses))[losses.rollout.completion_mask]
    assert largest_gap(found, naive_scores(policy, batch, losses, environment, 0.7)) < 2e-5


@pytest.mark.parametrize("train_vision", [pytest.param(False, marks=pytest.mark.slow), True])
def test_micro_batches_change_nothing(train_vision):
    policy = talking(make_lora_policy(train_vision=train_vision))
    settings = {"loss": GRPOLoss(beta=0.1), "entropy": Entropy(bonus=0.01)}
    sizes = [{"size": 3}, {"size": 2}, {"size": 1}, {"size": 3, "micro_batch_tokens": 12}]
    updates = [update(prepared(policy, **size, **settings), policy) for size in sizes]
    assert any(gradient.any() for gradient in updates[0][1].values())
    for other in updates[1:]:
        assert_same_update(other, updates[0])


def test_entropies_are_those_of_the_turns():
    """As the log-probabilities, compared above, of which the scoring with entropies gives the same."""
    policy = talking(make_lora_policy())
    losses = prepared(policy, size=3, entropy=Entropy()).micro_losses
    mask = losses.rollout.completion_mask
    logprobs, entropies, _ = losses._with_extras(losses.encoded, whole(losses))
    assert largest_gap(logprobs[mask], losses._logprobs(losses.encoded, whole(losses))[mask]) < 1e-6
    assert (entropies[mask] > 0).all()
    assert not entropies[~mask].any()


def test_what_the_environment_says_carries_no_loss():
    """The tokens with a loss are those that the policy sampled; replies are in prompts."""
    policy = talking(make_lora_policy())
    losses = prepared(policy, size=3, loss=GRPOLoss(beta=0.1)).micro_losses
    rollout, later = losses.rollout, losses.conversations.later
    assert losses.mask.equal(rollout.completion_mask)
    for row, column in later[0].prompts:
        said = losses.conversations.turns[row, column][0]
        assert policy.texts.responses(
            [rollout.token_ids[row, column, :6][rollout.completion_mask[row, column, :6]]]
        ) == [said.response]
    found = losses._logprobs(losses.encoded, whole(losses))
    assert found.requires_grad
    assert not found[~rollout.completion_mask].any(), "nothing else has a log-probability"
    shown = [prompt.prompts.input_ids.shape[1] for turn in later for prompt in turn.prompts.values()]
    assert min(shown) > rollout.token_ids.shape[-1]


def test_another_reply_changes_no_mask_and_no_first_turn():
    policy = talking(make_lora_policy())
    one, other = (prepared(policy, Shows(words=words)).micro_losses for words in ("Look .", "Compare picture 1"))
    first = slice(0, one.conversations.num_first)
    assert one.rollout.token_ids[..., first].equal(other.rollout.token_ids[..., first])
    assert one.mask[..., first].equal(other.mask[..., first])
    assert one.conversations.turns != other.conversations.turns
    for losses in (one, other):
        ids = losses.rollout.token_ids[losses.mask]
        assert policy.logit_bias[ids].isfinite().all(), "no placeholder of an image is among the tokens with a loss"


def test_the_first_ratio_is_one_and_the_kl_zero():
    policy = talking(make_policy(adaptation=LoRA()))
    totals, _ = update(prepared(policy, loss=GRPOLoss(beta=0.1)), policy)
    assert totals["kl"] == totals["clip_fraction"] == 0.0


def test_noise_is_that_of_the_address():
    """The same step is the same conversations, whatever else is in the batch; another step is another."""
    policy, batch = talking(make_lora_policy()), make_batch(3)
    again, alone, late = (
        prepared(policy, batch=part, address=address).micro_losses
        for part, address in ((batch, ADDRESS), (select(batch, [1]), ADDRESS), (batch, StepAddress(0, 1)))
    )
    first = prepared(policy, batch=batch).micro_losses
    assert first.rollout.token_ids.equal(again.rollout.token_ids)
    assert list(first.rollout.texts[1]) == list(alone.rollout.texts[0])
    assert first.rollout.texts != late.rollout.texts


def test_rewards_read_the_last_turn_and_the_turns_before():
    class Recording(FirstLetterReward):
        def __call__(self, completions, questions):
            self.given = list(zip(completions, questions, strict=True))
            return super().__call__(completions, questions)

    policy, batch, reward = talking(make_lora_policy()), make_batch(2), Recording()
    objective = objective_of(reward, turns=TurnSettings(Shows(), max_turns=3))
    step = objective.prepare(policy, batch, ADDRESS, 2)
    held = step.micro_losses.conversations
    for number, (text, question) in enumerate(reward.given):
        place = divmod(number, 3)
        turns = held.turns[place]
        assert question.text == batch.questions[place[0]].text, "without instructions"
        assert (question.reference.turns if turns else ()) == tuple(turns)
        assert text == held.answers[place[0]][place[1]]
        transcript = step.samples[place[0]].completions[place[1]]
        assert transcript.endswith(text)
        assert all(turn.response in transcript and turn.reply in transcript for turn in turns)
    later = sum(len(turns) for turns in held.turns.values())
    assert later > 0
    assert step.metrics["turns/num_turns"] == pytest.approx(1 + later / 6)
    assert step.metrics["turns/asked"] == pytest.approx(later / 6)


def test_without_turns_there_are_no_metrics_of_them():
    policy = talking(make_lora_policy())
    step = objective_of().prepare(policy, make_batch(2), ADDRESS, 2)
    assert not step.micro_losses.conversations.later
    assert not [name for name in step.metrics if name.startswith("turns/")]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("teacher", {"teacher": PrivilegedTeacher()}),
        ("counterfactuals", {"counterfactuals": ShuffledFrames()}),
        ("dynamic_sampling", {"dynamic_sampling": DynamicSampling(max_redraws=2)}),
    ],
)
def test_what_knows_one_turn_only_is_refused(name, other):
    with pytest.raises(ConfigError, match=name):
        objective_of(turns=TurnSettings(Shows()), **other)


def test_sharded_weights_are_refused():
    policy = make_policy()
    policy.sharding = object()
    with pytest.raises(ConfigError, match="turns"):
        prepared(policy)


def test_a_resumed_run_is_the_same_run_bit_for_bit(tmp_path):
    """Four steps at once, and two and then two more of new objects."""

    def module():
        grpo = replace(grpo_objective(), turns=TurnSettings(Shows(), max_turns=3))
        made = ready_module(GRPO(), grpo=grpo)
        talking(made.policy)
        return made

    whole, second = module(), module()
    wanted, _ = fit(whole, tmp_path, max_steps=4)
    first, trainer = fit(module(), tmp_path, max_steps=2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    then, _ = fit(second, tmp_path, max_steps=4, ckpt_path=tmp_path / "two.ckpt", adapter_seed=99)
    assert all(step["train/turns/num_turns"] > 1 for step in wanted.logged)
    assert all(step["train/rollout/logprob_gap_max"] < 1e-4 for step in wanted.logged)
    for actual, expected in zip([*first.logged, *then.logged], wanted.logged, strict=True):
        assert {name: repr(actual[name]) for name in filter(is_result, actual)} == {
            name: repr(expected[name]) for name in filter(is_result, expected)
        }
    for (name, expected), actual in zip(whole.policy.named_parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(expected, actual), name


def test_held_out_prompts_are_asked_in_turns_too():
    """The module passes the environment of GRPO on; the last response is judged."""
    grpo = replace(grpo_objective(), turns=TurnSettings(Shows(), max_turns=3))
    settings = EvaluationSettings(max_new_tokens=6, num_completions=2)
    module = PostTrainingModule(grpo=grpo, evaluation=settings)
    assert module.evaluation.turns is grpo.turns
    policy, batch = talking(make_lora_policy()), make_batch(3)
    answered = answer_batch(policy, batch, module.evaluation, SamplingSettings())
    texts = [text for group in answered.rollout.texts for text in group]
    assert any("\n[" in text for text in texts)
    for one, text in zip(answered.judged, texts, strict=True):
        assert text.endswith(one.completion)
        assert "\n[" not in one.completion
    with pytest.raises(ConfigError, match="perception"):
        EvaluationSettings(turns=grpo.turns, perception=IterativePerception())
