"""``remot view`` and the page of ``remot evaluate``: one run, two runs, and folders that are something else."""

import json
import re

import pytest
import torch

from remot.cli import EXIT_BAD_INPUT, main
from remot.errors import AnnotationError
from remot.evaluation.benchmarks.base import BenchmarkPrompt, ModelReply, Verdict
from remot.evaluation.benchmarks.pages import kind_of, recorded_verdicts, right_of, verdict_card
from remot.evaluation.benchmarks.report import write_answers
from remot.rollout.servers.messages import encode_png
from tests.tiny import model_folder

ROWS = [
    {"id": "q1", "images": ["a.png"], "question": "Which way?", "options": ["left", "right"], "answer": "A"},
    {"id": "q2", "images": ["a.png", "b.png"], "question": "How many?", "answer": 2, "task": "count"},
]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Two folders of one evaluation, the second with other replies, and the rows."""
    root = tmp_path_factory.mktemp("view")
    for name, value in (("a.png", 10), ("b.png", 200)):
        (root / name).write_bytes(encode_png(torch.full((3, 64, 64), value, dtype=torch.uint8)))
    (root / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    words = ["--benchmark", "jsonl", "--data", root / "q.jsonl", "--max_new_tokens", 4, "--device", "cpu"]
    main([*map(str, ["evaluate", *words, "--model", model_folder(), "--out", root / "base"])])
    other = root / "trained"
    other.mkdir()
    scores = json.loads((root / "base/scores.json").read_text()) | {"weights": "after training"}
    (other / "scores.json").write_text(json.dumps(scores))
    records = [json.loads(line) for line in (root / "base/answers.jsonl").read_text().splitlines()]
    for record, reply in zip(records, ("<answer>A</answer>", "<answer>3</answer>"), strict=True):
        record |= {"reply": reply, "scores": {"right": float(reply == "<answer>A</answer>"), "score": None}}
        record["media"] = ["/etc/passwd"]  # is never opened
    (other / "answers.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return root


def titles(page):
    return [title.strip() for title in re.findall(r"<h2>([^<]*)", page)]


def test_an_evaluation_writes_a_page(evaluated):
    page = (evaluated / "base/page.html").read_text()
    assert titles(page) == ["q1", "q2"]
    assert page.count("<img") == 3
    assert 'data-task="count"' in page
    assert "weights: " in page


def test_two_runs_stand_side_by_side(evaluated, tmp_path, capsys):
    out = tmp_path / "ab.html"
    main(["view", str(evaluated / "base"), str(evaluated / "trained"), "--out", str(out)])
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"base: .*; 2 prompts of .*q\.jsonl, 2 cut off", said[0])
    assert said[1].startswith("trained: after training; 2 prompts of ")
    assert said[2:] == ["2 prompts from 1 scene", str(out)]
    page = out.read_text()
    assert titles(page) == ["q1", "q2"]
    assert page.count("<h3>base</h3>") == page.count("<h3>trained</h3>") == 2
    assert page.count("<img") == 3
    assert "trained: after training" in page
    assert "gained" in re.findall(r'data-states="([^"]*)"', page)[0].split()


def test_one_run_with_fewer_prompts(evaluated, tmp_path, capsys):
    main(["view", str(evaluated / "trained"), "--out", str(tmp_path / "a.html"), "--num_shown", "1"])
    page = (tmp_path / "a.html").read_text()
    assert titles(page) == ["q1"]
    assert "the first 1 of 2 prompts" in page
    assert "the first 1 of 2 prompts" in capsys.readouterr().out


def test_prompts_that_one_of_two_runs_lacks_are_counted(evaluated, tmp_path, capsys):
    part = tmp_path / "part"
    part.mkdir()
    (part / "scores.json").write_text((evaluated / "base/scores.json").read_text())
    (part / "answers.jsonl").write_text((evaluated / "base/answers.jsonl").read_text().splitlines()[0] + "\n")
    main(["view", str(evaluated / "base"), str(part), "--out", str(tmp_path / "p.html")])
    assert "1 prompt from 1 scene; 1 that are not in both are left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["NOTHING"], "scores.json"),
        (["base", "trained", "base"], "3 folders"),
        (["base", "--out", "page.txt"], "page.txt"),
        (["base", "--num_shown", "0"], "--num_shown 0"),
        (["base", "--data", "gone.jsonl"], "gone.jsonl"),
        (["base", "old"], "source"),
        (["base", "other"], "vsi-bench"),
    ],
)
def test_what_is_no_evaluation_is_refused(evaluated, capsys, monkeypatch, words, fact):
    monkeypatch.chdir(evaluated)
    scores = json.loads((evaluated / "base/scores.json").read_text())
    for name, changed in (("old", {"source": None}), ("other", {"benchmark": "vsi-bench"})):
        (evaluated / name).mkdir(exist_ok=True)
        (evaluated / name / "scores.json").write_text(json.dumps(scores | changed))
    with pytest.raises(SystemExit) as stop:
        main(["view", *words])
    assert stop.value.code == EXIT_BAD_INPUT
    assert fact in capsys.readouterr().err


def prompt(row=None, images=()):
    return BenchmarkPrompt("p", "What?", "gold", "scene", images, row=row)


def test_verdicts_are_read_back_as_they_were_written(tmp_path):
    scores = {"right": 1.0, "score": float("nan")}
    written = Verdict(prompt(), ModelReply("a\ud800b", 3, True), {"letter": "A"}, scores)
    write_answers(tmp_path / "answers.jsonl", [written])
    other = BenchmarkPrompt("missing", "?", "", "s")
    (read,) = recorded_verdicts(tmp_path / "answers.jsonl", [other, written.prompt])
    assert (read.reply.text, read.reply.cut_off, read.parsed) == ("a\ud800b", True, {"letter": "A"})
    assert read.scores["right"] == 1.0
    assert read.scores["score"] != read.scores["score"]


@pytest.mark.parametrize(
    "line", ["[]", "{}", '{"id": "p", "reply": "x"}', '{"id": "p", "reply": 3, "scores": {}}', "{"]
)
def test_malformed_answers_are_named_by_line(tmp_path, line):
    (tmp_path / "answers.jsonl").write_text(line + "\n")
    with pytest.raises(AnnotationError, match=r"answers\.jsonl: line 1"):
        recorded_verdicts(tmp_path / "answers.jsonl", [prompt()])


def test_a_prompt_whose_media_have_gone_is_shown_without_them(tmp_path):
    card = verdict_card(Verdict(prompt(images=(tmp_path / "gone.png",)), ModelReply("x"), None, {"right": 0.0}), "b")
    assert list(card.images) == []
    assert any("gone.png" in fact for fact in card.facts)
    assert (card.answers[0].right, card.answers[0].read_as, card.gold_text) == (False, "nothing", "gold")


@pytest.mark.parametrize(
    ("scores", "right"),
    [
        ({"overall": 1.0, "right": 0.0}, True),
        ({"right": 0.0}, False),
        ({"score": 0.5}, None),
        ({"score": float("nan")}, None),
        ({"iou": 1.0}, None),
    ],
)
def test_right_is_what_a_benchmark_calls_right(scores, right):
    assert right_of(scores) is right


@pytest.mark.parametrize(
    ("row", "kind"), [({"task": "pc_v"}, "pc_v"), ("route", "route"), ({"row": 3}, ""), (None, "")]
)
def test_kinds_of_questions(row, kind):
    assert kind_of(prompt(row)) == kind
