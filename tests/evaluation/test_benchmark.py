"""How held-out questions are answered: with whose settings, and in waves where memory is short."""

import pytest

from remot.errors import ConfigError
from remot.evaluation.benchmark import EvaluationSettings, answer_batch, model_sampling
from remot.rollout.decoding import engine as engine_module
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.decoding.memory import PLANNED_SHARE, decode_bytes
from remot.rollout.sampling import GREEDY, SamplingSettings
from tests.strategies.test_module import make_batch, make_policy

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
