"""The evaluation before and after training, in a trainer on the CPU."""

import json

import pytest
import torch

from remot.callbacks import HeldOutEvaluation, PredictionFile
from remot.evaluation.benchmark import run_benchmark
from remot.strategies import SFT
from tests.strategies.test_module import RandomPrompts, make_trainer, ready_module


@pytest.mark.parametrize(("precision", "is_cast"), [("bf16-mixed", True), ("32-true", False)])
def test_it_computes_in_the_precision_of_the_run(tmp_path, precision, is_cast):
    """As validation does: scores of another arithmetic would be those of another policy, and slower to get."""
    module, seen = ready_module(SFT()), []
    real = module.policy.prefill
    module.policy.prefill = lambda *arguments, **settings: (
        seen.append(torch.is_autocast_enabled("cpu")),
        real(*arguments, **settings),
    )[1]
    trainer = make_trainer(tmp_path, max_steps=1, callbacks=[HeldOutEvaluation()], precision=precision)
    trainer.fit(module, RandomPrompts())
    assert len(seen) >= 4  # two batches, before and after
    assert set(seen) == {is_cast}


def read_answers(path):
    def refused(constant):
        msg = f"{constant} is not JSON"
        raise ValueError(msg)

    return [json.loads(line, parse_constant=refused) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("is_endless", [True, False])
def test_predictions_are_json_and_mark_truncated_completions(tmp_path, is_endless):
    module = ready_module(SFT())
    module.policy.eos_token_ids = [10**6] if is_endless else list(range(10_000))  # no token ends a turn, or each does
    trainer = make_trainer(tmp_path, callbacks=[PredictionFile()])
    trainer.predict(module, RandomPrompts())
    answers = read_answers(tmp_path / "predictions.jsonl")
    assert answers
    assert all(answer["first_total"] is None and answer["cut_off"] is is_endless for answer in answers)


def test_a_test_prints_the_table_of_a_fit(tmp_path, capsys):
    """The scores of the policy that a fit ends with, digit by digit, the greedy ones too."""
    module = ready_module(SFT())
    trainer = make_trainer(tmp_path, max_steps=1, callbacks=[HeldOutEvaluation()])
    trainer.fit(module, RandomPrompts())
    fit = rows(capsys.readouterr().out)
    trainer.test(module, RandomPrompts(), verbose=False)
    test = rows(capsys.readouterr().out)
    assert {name: cells[1] for name, cells in fit.items()} == {name: cells[0] for name, cells in test.items()}
    assert {"partial", "partial (greedy)", "cut off", "cut off (greedy)"} <= set(test)
    as_a_fit = run_benchmark(module.policy, RandomPrompts().test_dataloader(), module.evaluation)
    for kind in ("judged", "judged_greedy"):
        said, wanted = ([one.completion for one in getattr(of, kind)] for of in (module.last_scores, as_a_fit))
        assert said == wanted


def rows(text):
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    return {name: rest for name, *rest in cells}
