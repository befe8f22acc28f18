"""How held-out questions are answered: with whose settings, encoded once, and in waves where memory is short."""

from dataclasses import asdict

import pytest
import torch

from remot.environments import TurnSettings
from remot.errors import ConfigError
from remot.evaluation.benchmark import EvaluationSettings, answer_batch, answer_in_ways, model_sampling, run_benchmark
from remot.models.inputs import processing
from remot.rollout.decoding import engine as engine_module
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.decoding.memory import PLANNED_SHARE, decode_bytes
from remot.rollout.sampling import GREEDY, SamplingSettings
from tests.rollout.test_turns import Shows
from tests.strategies.test_module import RandomPrompts, make_batch, make_policy, make_trainer, ready_module
from tests.tiny import FAMILIES, HYBRID, make_lora_policy, make_mixed_batch

#: What Qwen publishes for a Thinking model of this family.
THINKING = {"do_sample": True, "temperature": 1.0, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.0}


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        (THINKING, SamplingSettings(1.0, 20, 0.95)),
        (
            {"do_sample": True, "temperature": 0.7, "top_k": None},
            SamplingSettings(0.7, 50),
        ),
        ({"do_sample": None, "temperature": 0.7, "top_k": 20}, GREEDY),
        ({}, GREEDY),
    ],
)
def test_a_models_own_settings_by_hand(own, wanted):
    assert model_sampling(own) == wanted


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"repetition_penalty": 1.05}, "repetition_penalty 1.05"),
        ({"num_beams": 4}, "num_beams 4"),
        ({"temperature": "hot"}, "'temperature': 'hot'"),
        ({"top_p": 7}, "top_p"),
    ],
)
def test_settings_that_cannot_be_drawn_with_are_named(changed, named):
    with pytest.raises(ConfigError, match=named):
        model_sampling(THINKING | changed)


def test_the_policys_own_settings_are_drawn_with():
    policy = make_policy("qwen3_vl")
    policy.model.generation_config.update(**THINKING)
    assert EvaluationSettings(generation="model").drawn_by(policy) == SamplingSettings(1.0, 20, 0.95)
    own = SamplingSettings(0.5)
    assert EvaluationSettings(sampling=own).drawn_by(policy) == own
    with pytest.raises(ConfigError, match="leave sampling out"):
        EvaluationSettings(sampling=own, generation="model")


def test_an_evaluation_that_does_not_fit_is_decoded_in_waves(monkeypatch):
    """Memory for one prompt and a half: three waves for three prompts, which say the same as at once."""
    policy, batch, waves = make_policy("qwen3_vl"), make_batch(3, seed=3), []
    settings = EvaluationSettings(max_new_tokens=12)
    at_once = answer_batch(policy, batch, settings, settings.sampling)
    columns = policy.encode(policy.process(batch)).prompts.input_ids.shape[1]
    one_prompt = decode_bytes(policy.footprint, columns, 1, settings.max_new_tokens)
    monkeypatch.setattr(engine_module, "free_bytes", lambda _: int(1.5 * one_prompt / PLANNED_SHARE))
    engine, real = RolloutEngine(), RolloutEngine._decode
    monkeypatch.setattr(
        RolloutEngine,
        "_decode",
        lambda self, policy, part, request: (waves.append(len(part)), real(self, policy, part, request))[1],
    )
    in_waves = answer_batch(policy, batch, settings, settings.sampling, engine)
    assert waves == [1, 1, 1]
    assert [one.completion for one in in_waves.judged] == [one.completion for one in at_once.judged]


# -- a batch is answered by sampling and greedily ------------------------------------------------------------------


@pytest.fixture
def inputs(monkeypatch):
    """Counts what prompts cost before a word is said: runs of the processor, and passes of a policy's vision tower."""
    counts, real = {"processed": 0, "seen": 0}, processing._processed

    def counted(*given):
        counts["processed"] += 1
        return real(*given)

    def watch(policy):
        policy.core.model.visual.register_forward_pre_hook(lambda *_: counts.update(seen=counts["seen"] + 1))
        return policy

    monkeypatch.setattr(processing, "_processed", counted)
    return counts, watch


def test_a_batch_is_processed_and_seen_once(inputs):
    counts, watch = inputs
    policy, batches = watch(make_policy()), [make_batch(2, seed=seed) for seed in range(3)]
    run_benchmark(policy, batches, EvaluationSettings(max_new_tokens=2, num_completions=2))
    assert counts == {"processed": 3, "seen": 3}


def test_a_model_that_is_greedy_by_itself_answers_once(monkeypatch):
    policy, decoded, real = make_policy(), [], RolloutEngine._decode
    monkeypatch.setattr(type(policy), "generation_settings", {"do_sample": False})
    monkeypatch.setattr(
        RolloutEngine, "_decode", lambda self, *given: (decoded.append(given[-1].sampling), real(self, *given))[1]
    )
    scores = run_benchmark(policy, [make_batch(2)], EvaluationSettings(max_new_tokens=2, generation="model"))
    assert decoded == [GREEDY]
    assert texts_of(scores.judged) == texts_of(scores.judged_greedy)


def test_a_batch_of_a_test_is_processed_and_seen_once(inputs, tmp_path):
    counts, watch = inputs
    module = ready_module()
    watch(module.policy)
    make_trainer(tmp_path).test(module, RandomPrompts(), verbose=False)
    assert counts == {"processed": 2, "seen": 2}


def test_conversations_begin_with_prompts_that_are_seen_once(inputs):
    """No turn ends by itself, so that nothing is replied and these prompts are all."""
    counts, watch = inputs
    policy = watch(make_policy())
    policy.logit_bias[list(policy.eos_token_ids)] = -torch.inf
    settings = EvaluationSettings(max_new_tokens=2, turns=TurnSettings(Shows()))
    run_benchmark(policy, [make_batch(2)], settings)
    assert counts == {"processed": 1, "seen": 1}


@pytest.mark.parametrize("turns", [None, TurnSettings(Shows(), max_turns=3)], ids=["one turn", "turns"])
@pytest.mark.parametrize("family", [*FAMILIES, HYBRID])
def test_both_ways_say_what_each_says_by_itself(family, turns):
    """Token by token, for batches one after another, with videos and without."""
    policy = make_lora_policy(family, prefix_sharing="auto")
    policy.logit_bias[policy.eos_token_ids[0]] = 3.0
    batches = [make_batch(3), make_mixed_batch()]
    settings = EvaluationSettings(max_new_tokens=6, num_completions=2, turns=turns)
    ways = settings.sampling, GREEDY
    alone = [[answer_batch(policy, batch, settings, way) for way in ways] for batch in batches]
    for batch, wanted in zip(batches, alone, strict=True):
        for one, other in zip(answer_in_ways(policy, batch, settings, ways), wanted, strict=True):
            assert_same_answers(one, other)
        sampled, greedy = (one.rollout.token_ids for one in wanted)
        assert (sampled.shape[1], greedy.shape[1]) == (2, 1)
        assert not torch.equal(sampled[:, :1, :2], greedy[..., :2])
    scores = run_benchmark(policy, batches, settings)
    for judged, way in ((scores.judged, 0), (scores.judged_greedy, 1)):
        assert texts_of(judged) == texts_of([one for answered in alone for one in answered[way].judged])


def test_both_ways_are_halved_where_memory_runs_out(monkeypatch):
    """No three prompts fit, which the first decoding finds out: the second begins with the size that did fit."""
    policy, batch, sizes = make_policy(), make_batch(4), []
    settings = EvaluationSettings(max_new_tokens=6)
    ways, real = (settings.sampling, GREEDY), RolloutEngine._decode
    wanted = answer_in_ways(policy, batch, settings, ways)

    def short(self, policy, part, request):
        sizes.append(len(part))
        if len(part) > 2:
            raise torch.OutOfMemoryError
        return real(self, policy, part, request)

    monkeypatch.setattr(RolloutEngine, "_decode", short)
    found = answer_in_ways(policy, batch, settings, ways, RolloutEngine())
    assert sizes == [4, 2, 2, 2, 2]
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one.rollout.token_ids, other.rollout.token_ids)


def assert_same_answers(one, other):
    assert torch.equal(one.rollout.token_ids, other.rollout.token_ids)
    assert torch.equal(one.rollout.logprobs, other.rollout.logprobs)
    assert texts_of(one.judged) == texts_of(other.judged)


def texts_of(judged):
    """Whole scores, as text: some are NaN."""
    return [repr(asdict(one)) for one in judged]
