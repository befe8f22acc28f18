"""``remot replay``: a skipped step is computed again, and the first number that is not finite is named."""

import json
import math
import re
from dataclasses import replace

import pytest
import torch

from remot.cli import main
from remot.losses import GroupAdvantages, GRPOLoss
from remot.strategies import GRPO, SFT, AlternatingSFTGRPO, GRPOObjective, SFTThenGRPO
from remot.strategies.grpo.dynamic_sampling import DynamicSampling
from remot.strategies.replay import first_fault
from tests.data.handmade import mixed_clips, write_folder
from tests.faults.runs import words
from tests.strategies.grpo.test_objective import FirstLetterReward
from tests.strategies.test_module import ready_module
from tests.tiny import make_batch


def module_of(strategy, **settings):
    """``settings`` are those of the reinforced objective."""
    given = {"num_completions": 3, "max_new_tokens": 5, "loss": GRPOLoss(beta=0.05), "reward": FirstLetterReward()}
    return ready_module(strategy, grpo=GRPOObjective(**given | settings))


def spoil_logprobs(module, rows):
    """NaN at the first token of the first completion, in passes with gradient over the prompts of these numbers."""
    real, seen = module.policy.completion_logprobs, []

    def completion_logprobs(encoded, completion_ids, wanted=None, **settings):
        found = real(encoded, completion_ids, wanted, **settings)
        if settings.get("use_reference"):
            return found
        seen.append(len(seen))
        return found + (math.nan if seen[-1] in rows else 0.0)

    module.policy.completion_logprobs = completion_logprobs


@pytest.mark.parametrize("strategy", [SFT, GRPO])
def test_a_step_without_fault_has_none(strategy):
    module = module_of(strategy())
    assert first_fault(module, strategy.__name__, 3, make_batch(2, seed=3)) == ""


def test_a_weight_is_named():
    module = module_of(SFT())
    name, weight = next((n, p) for n, p in module.policy.named_parameters() if "lora_B" in n)
    with torch.no_grad():
        weight.view(-1)[1] = math.inf
    assert name in first_fault(module, "SFT", 3, make_batch(2, seed=3))


def test_the_prompt_and_token_of_a_log_probability_are_named():
    module = module_of(GRPO())
    spoil_logprobs(module, {1})
    found = first_fault(module, "GRPO", 3, make_batch(2, seed=3))
    assert found.startswith("the policy's log-probability of token 0 of completion 0 of prompt 3-1")


def test_the_token_of_a_rollout_is_named(monkeypatch):
    from remot.rollout import sources

    module, real = module_of(GRPO()), sources.generate

    def generate(*arguments):
        rollout = real(*arguments)
        rollout.logprobs[1, 2, 0] = math.nan
        return rollout

    monkeypatch.setattr(sources, "generate", generate)
    found = first_fault(module, "GRPO", 3, make_batch(2, seed=3))
    assert found == "the log-probability of token 0 of completion 2 in the rollout of prompt 3-1"


def test_the_completion_of_an_advantage_is_named():
    class Spoilt(GroupAdvantages):
        def __call__(self, *arguments, **named):
            compared = super().__call__(*arguments, **named)
            compared.advantages[1, 2] = math.inf
            return compared

    module = module_of(GRPO(), advantages=Spoilt())
    assert first_fault(module, "GRPO", 3, make_batch(2, seed=3)) == "the advantage of completion 2 of prompt 3-1"


def test_a_reward_that_does_not_apply_is_no_fault():
    """NaN marks a completion that a reward says nothing about; its advantage is 0."""

    class Partial(FirstLetterReward):
        def __call__(self, completions, questions):
            output = super().__call__(completions, questions)
            output.total[1] = math.nan
            return output

    module = module_of(GRPO(), reward=Partial())
    assert first_fault(module, "GRPO", 3, make_batch(2, seed=3)) == ""


@pytest.mark.parametrize("strategy", [GRPO, SFTThenGRPO, AlternatingSFTGRPO])
def test_the_reference_is_named(strategy):
    """The reference of the base model, and those that are captured when a phase begins."""
    module = module_of(strategy())
    real = module.policy.completion_logprobs

    def completion_logprobs(*arguments, **settings):
        found = real(*arguments, **settings)
        return found + (math.nan if settings.get("use_reference") else 0.0)

    module.policy.completion_logprobs = completion_logprobs
    found = first_fault(module, "GRPO", 3, make_batch(2, seed=3))
    assert found.startswith("the reference's log-probability of token 0 of completion 0 of prompt 3-0")


class Redraws:
    """Prompts of other names in place of those without a difference."""

    resampler = None

    def describe(self):
        return []

    def redraw(self, step, attempt, num_prompts):
        self.asked = step, attempt
        return make_batch(num_prompts, seed=9)


def test_a_prompt_that_was_drawn_again_is_named_itself():
    """The second prompt has nothing to choose between, and a redrawn one takes its place, whose loss is not finite."""

    class Uneven(FirstLetterReward):
        def __call__(self, completions, questions):
            output = super().__call__(completions, questions)
            for row, question in enumerate(questions):
                output.total[row] = 1.0 if question.prompt_id == "3-1" else float(row)
            return output

    module, source = module_of(GRPO(), reward=Uneven(), dynamic_sampling=DynamicSampling(max_redraws=1)), Redraws()
    spoil_logprobs(module, {1})
    found = first_fault(module, "GRPO", 3, make_batch(2, seed=3), source)
    assert "completion 0 of prompt 9-0" in found
    assert source.asked == (3, 1)


def test_a_term_of_the_loss_is_named():
    module = module_of(SFT())
    spoil_logprobs(module, {0})
    assert "loss of prompt 3-0" in first_fault(module, "SFT", 3, make_batch(2, seed=3))


def test_the_parameter_of_a_gradient_is_named():
    module = module_of(SFT())
    name, weight = [(n, p) for n, p in module.policy.named_parameters() if "lora_B" in n][2]
    weight.register_hook(lambda gradient: gradient * math.nan)
    found = first_fault(module, "SFT", 3, make_batch(2, seed=3))
    assert name in found
    assert "prompt 3-0" in found


def test_the_first_module_with_such_an_output_is_named():
    module = module_of(SFT())
    name, layer = [(n, m) for n, m in module.policy.model.named_modules() if n.endswith("mlp")][-1]
    layer.register_forward_hook(lambda _module, _inputs, output: output * math.nan)
    assert f"is {name}" in first_fault(module, "SFT", 3, make_batch(2, seed=3)) + " "


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_skipped_step_of_a_run_is_replayed(tmp_path, monkeypatch, capsys):
    """Steps 2 and 3 are skipped for the loss of one prompt; its weights and prompts are kept, and the rest trains."""
    from remot.strategies import sft

    write_folder(tmp_path / "clips", mixed_clips(4))
    monkeypatch.chdir(tmp_path)
    real, spoilt = sft.sft_loss, []

    def loss(*arguments, **settings):
        output = real(*arguments, **settings)
        return replace(output, loss=output.loss * (math.nan if spoilt else 1.0))

    monkeypatch.setattr(sft, "sft_loss", loss)

    from lightning.pytorch import Callback

    class Spoils(Callback):
        def on_train_batch_start(self, trainer, *_):
            spoilt[:] = [1] if trainer.global_step in (2, 3) else []

    from remot.callbacks import FaultRecord

    before = FaultRecord.on_train_batch_start
    monkeypatch.setattr(FaultRecord, "on_train_batch_start", Spoils.on_train_batch_start, raising=False)
    main(words("fit", **{"model.strategy": "SFT", "trainer.max_steps": 6}))
    monkeypatch.setattr(FaultRecord, "on_train_batch_start", before)
    (run,) = tmp_path.glob("runs/*/*")
    lines = [json.loads(line) for line in (run / "not_finite" / "steps.jsonl").read_text().splitlines()]
    assert [(line["step"], line["state_step"], line["batch"]) for line in lines] == [(2, 2, 2), (3, 2, 3)]
    assert [prompt["prompt_id"] for prompt in lines[1]["prompts"]] == ["train/0/6", "train/0/7"]
    assert [file.name for file in (run / "not_finite").glob("*.ckpt")] == ["step-2.ckpt"]
    capsys.readouterr()
    spoilt[:] = [1]
    main(["replay", str(run), "--step", "3"])
    assert "the loss of prompt train/0/6" in capsys.readouterr().out
    spoilt.clear()
    main(["replay", str(run)])
    assert "first not finite: nothing" in capsys.readouterr().out
    for words_of in ([str(run), "--step", "7"], [str(tmp_path)]):
        with pytest.raises(SystemExit):
            main(["replay", *words_of])
    assert "skipped are 2, 3" in capsys.readouterr().err
    settings = (run / "config.yaml").read_text()
    (tmp_path / "other.yaml").write_text(re.sub(r"(?m)^seed_everything: .*", "seed_everything: 5", settings))
    with pytest.raises(SystemExit):  # the same numbers of prompts, about other frames
        main(["replay", str(run), "--config", "other.yaml"])
    assert "train/0/6" in capsys.readouterr().err
