"""What is made of lmms-eval's output, and how its process is started, watched and refused. It need not be installed."""

import importlib.util
import json
import sys
from dataclasses import replace
from itertools import pairwise

import pytest

from remot.commands import evaluate_harness
from remot.commands.dispatch import run
from remot.errors import AnnotationError, ConfigError, EngineError
from remot.evaluation.benchmarks import harness
from remot.evaluation.benchmarks.base import ModelReply
from remot.evaluation.benchmarks.estimates import measured
from remot.evaluation.benchmarks.harness import HarnessRun, require_installed, run_harness
from remot.evaluation.benchmarks.harness.results import (
    metrics_of,
    num_rows,
    recorded_key,
    verdicts_of,
    version_of,
)
from remot.evaluation.benchmarks.replies import ReplyStore
from remot.evaluation.benchmarks.report import Facts, report_of, write_answers
from tests.tiny import model_folder

RESULTS = {
    "results": {
        "mvbench": {"alias": "mvbench", "acc,none": 50.0, "acc_stderr,none": 3.0, "rank,strict": 0.7, "valid": True},
        "gone": {"acc,none": 0.25},
    }
}
SAMPLES = [
    {"doc_id": 0, "target": "A", "input": "q0", "resps": ["<think>x</think>A"], "filtered_resps": ["A"], "acc": 1.0,
     "token_counts": [{"output_tokens": 7}]},
    {"doc_id": 1, "target": "B", "input": "q1", "filtered_resps": "A", "acc": {"score": 0.0, "scene": "s1"},
     "rank": "x"},
]  # fmt: skip


def made(folder, results=RESULTS, samples=SAMPLES):
    """What lmms-eval writes to its folder, and the file of its results."""
    (folder / "m").mkdir(parents=True, exist_ok=True)
    file = folder / "m" / "2026_results.json"
    file.write_text(json.dumps(results))
    (folder / "m" / "2026_samples_mvbench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    return file


def harness_run(folder, **changes):
    arguments = {"pretrained": "m", "device": "cpu"}
    return replace(HarnessRun(["mvbench"], "remot", arguments, folder, None, 2, None, {}), **changes)


def test_numbers_of_samples_are_computed_again_and_others_taken_over(tmp_path):
    """50 is 100 times the mean of 1 and 0; 0.7 and 0.25 have no samples that they could be the mean of."""
    verdicts = verdicts_of(RESULTS, made(tmp_path))
    rows = {one.metric.name: one for one in measured(metrics_of(RESULTS, verdicts), num_resamples=50)}
    assert {name: one.estimate.mean for name, one in rows.items()} == {
        "mvbench/acc": 50.0,
        "mvbench/rank (strict)": 0.7,
        "gone/acc": 0.25,
    }
    assert (rows["mvbench/acc"].estimate.low, rows["mvbench/acc"].estimate.high) == (0.0, 100.0)
    assert rows["mvbench/acc"].metric.note == ""
    assert rows["mvbench/acc"].metric.statistic.count == 2
    assert rows["gone/acc"].metric.note
    assert rows["gone/acc"].estimate.low != rows["gone/acc"].estimate.low


def test_samples_keep_the_whole_reply_and_their_cluster(tmp_path):
    first, second = verdicts_of(RESULTS, made(tmp_path))["mvbench"]
    assert (first.reply.text, first.reply.num_tokens, first.prompt.gold) == ("<think>x</think>A", 7, "A")
    assert (first.prompt.prompt_id, first.prompt.text, first.prompt.scene) == ("mvbench/0", "q0", "mvbench/0")
    assert (second.reply.text, second.prompt.scene, second.scores) == ("A", "s1", {"acc": 0.0})


def rows_of(verdicts):
    facts = Facts("b", "w", "d", {}, len(verdicts), None, 0, 0)
    return {one.metric.name: one.estimate.mean for one in report_of([], verdicts, facts).rows}


def test_rows_that_all_benchmarks_have_are_those_that_are_known_of_every_reply(tmp_path):
    """The length of the second reply is not known; what lmms-eval's tasks read, and what was cut off, of neither."""
    file, record = made(tmp_path), tmp_path / "record.jsonl"
    assert rows_of(verdicts_of(RESULTS, file)["mvbench"]) == {}
    assert rows_of(verdicts_of(RESULTS, file)["mvbench"][:1]) == {"num_tokens": 7}
    store = ReplyStore(record)
    for name, text, num_tokens, is_cut in (("mvbench/0", "<think>x</think>A", 7, False), ("mvbench/1", "A", 9, True)):
        store.add([recorded_key(name, text)], [name], [ModelReply(text, num_tokens, is_cut)])
    del store
    assert rows_of(verdicts_of(RESULTS, file, record)["mvbench"]) == {"num_tokens": 8, "cut_off": 0.5}
    read = [{**row, "acc": {"score": 1.0, "parsed": found}} for row, found in zip(SAMPLES, ("A", None), strict=True)]
    verdicts = verdicts_of(RESULTS, made(tmp_path, samples=read), record)["mvbench"]
    assert rows_of(verdicts) == {"num_tokens": 8, "cut_off": 0.5, "unparsed": 0.5}
    write_answers(tmp_path / "answers.jsonl", [*verdicts, *verdicts_of(RESULTS, made(tmp_path))["mvbench"]])
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [one.get("parsed", "unknown") for one in lines] == ["A", None, "unknown", "unknown"]


def test_rows_and_version_are_lmms_evals():
    counts = {"a": {"original": 30, "effective": 2}, "b": {"original": 4}, "c": 3}
    assert num_rows({"n-samples": counts}) == 34
    assert (num_rows({}), version_of({}), version_of({"task_hashes": 3})) == (0, "", "")
    assert len({version_of({"task_hashes": {"a": name}}) for name in ("x", "y")}) == 2


@pytest.mark.parametrize("line", ["[1]", '{"doc_id": NaN}', "{"])
def test_damaged_samples_are_refused(tmp_path, line):
    file = made(tmp_path)
    (tmp_path / "m" / "2026_samples_mvbench.jsonl").write_text(line + "\n")
    with pytest.raises(AnnotationError, match="2026_samples_mvbench"):
        verdicts_of(RESULTS, file)


def test_words_of_the_process(tmp_path):
    settings = {"limit": 3, "include": tmp_path / "tasks", "generation": {"max_new_tokens": 9}}
    words = harness_run(tmp_path, tasks=["a", "b"], **settings).command()
    named = dict(pairwise(words))
    assert named["--tasks"] == "a,b"
    assert named["--model_args"] == "pretrained=m,device=cpu"
    assert (named["--limit"], named["--include_path"]) == ("3", str(tmp_path / "tasks"))
    assert named["--gen_kwargs"] == "max_new_tokens=9"
    with pytest.raises(ConfigError, match="pretrained"):
        harness_run(tmp_path, model_args={"pretrained": "/a,b=c"}).command()


def process_of(monkeypatch, code):
    monkeypatch.setattr(HarnessRun, "command", lambda _: [sys.executable, "-c", code])


def test_its_results_are_those_that_are_new(tmp_path, monkeypatch):
    old = made(tmp_path)
    new = old.with_name("2027_results.json")
    process_of(monkeypatch, f"import shutil; shutil.copy({str(old)!r}, {str(new)!r}); print('said')")
    file, results = run_harness(harness_run(tmp_path))
    assert (file, results) == (new, RESULTS)
    assert (tmp_path / "lmms_eval.log").read_text() == "said\n"


@pytest.mark.parametrize(
    ("code", "fact"), [("import sys; print('broken'); sys.exit(3)", "status 3"), ("print('done')", "no results")]
)
def test_a_failure_names_the_log(tmp_path, monkeypatch, code, fact):
    made(tmp_path)
    process_of(monkeypatch, code)
    with pytest.raises(EngineError, match=fact) as failed:
        run_harness(harness_run(tmp_path))
    assert str(tmp_path / "lmms_eval.log") in str(failed.value)


def test_endless_output_is_read_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "MAX_LOG_BYTES", 1000)
    process_of(monkeypatch, "import sys; [sys.stderr.write('x' * 99 + chr(10)) for _ in range(5000)]")
    with pytest.raises(EngineError):
        run_harness(harness_run(tmp_path))
    assert (tmp_path / "lmms_eval.log").stat().st_size == 1000


@pytest.mark.parametrize("content", ["[]", "{", '{"results": 3}', '{"results": NaN', "x" * 2000])
def test_results_that_are_none_are_an_error(tmp_path, monkeypatch, content):
    monkeypatch.setattr(harness, "MAX_RESULTS_BYTES", 1000)
    (tmp_path / "m").mkdir()
    file = tmp_path / "m" / "1_results.json"
    process_of(monkeypatch, f"open({str(file)!r}, 'w').write({content!r})")
    with pytest.raises(EngineError, match="1_results"):
        run_harness(harness_run(tmp_path))


def test_without_lmms_eval_the_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install .*lmms_eval"):
        require_installed()


def evaluate(monkeypatch, *words):
    monkeypatch.setattr(harness, "require_installed", lambda: None)
    run(["evaluate", "--harness", "lmms-eval", *map(str, words)])


def test_the_command_writes_the_files_of_every_evaluation(tmp_path, monkeypatch, capsys):
    seen = []

    def run_it(one):
        seen.append(one)
        return made(one.folder), RESULTS

    monkeypatch.setattr(harness, "run_harness", run_it)
    words = ("--task", "mvbench", "--task", "gone", "--out", tmp_path / "o", "--limit", 2, "--device", "cpu")
    evaluate(monkeypatch, "--model", model_folder(), *words, "--harness_model", "remot", "--max_new_tokens", 9)
    assert (seen[0].tasks, seen[0].model, seen[0].limit) == (["mvbench", "gone"], "remot", 2)
    assert seen[0].generation == {"max_new_tokens": 9}
    scores = json.loads((tmp_path / "o" / "scores.json").read_text())
    assert scores["metrics"]["mvbench/acc"]["mean"] == 50.0
    assert len(scores["weights_hash"]) == 64
    answers = [json.loads(line) for line in (tmp_path / "o" / "answers.jsonl").read_text().splitlines()]
    assert [one["reply"] for one in answers] == ["<think>x</think>A", "A"]
    assert "mvbench/acc" in capsys.readouterr().out


def test_whole_models_of_known_types_get_lmms_evals_own_class(tmp_path):
    from remot.models.loading import ModelSource

    assert evaluate_harness._class_of(ModelSource(str(model_folder()))) == "qwen3_vl"
    (tmp_path / "config.json").write_text('{"model_type": "new_kind"}')
    assert evaluate_harness._class_of(ModelSource(str(tmp_path))) == "remot"
    (tmp_path / "config.json").write_text("[" * 100_000)
    assert evaluate_harness._class_of(ModelSource(str(tmp_path))) == "remot"
    own = evaluate_harness._arguments("qwen3_vl", ModelSource("m", max_pixels=5000), "cpu", 4)
    assert own == {"pretrained": "m", "device": "cpu", "device_map": "cpu", "max_num_frames": 4, "max_pixels": 5000}
    ours = evaluate_harness._arguments("remot", ModelSource("m"), "cpu", 4)
    assert ours == {"pretrained": "m", "device": "cpu", "dtype": "float32", "num_frames": 4}


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (("--model", "remot-tiny"), "--task"),
        (("--task", "mvbench"), "--model"),
        (("--task", "mvbench", "--ckpt_path", __file__), "remot export"),
        (("--task", "mvbench", "--endpoint", "http://h"), "--endpoint"),
    ],
)
def test_what_does_not_fit_is_refused(monkeypatch, words, fact):
    with pytest.raises(ConfigError, match=fact):
        evaluate(monkeypatch, *words)


def test_options_of_the_harness_need_it():
    with pytest.raises(ConfigError, match="--harness"):
        run(["evaluate", "--benchmark", "jsonl", "--data", "x", "--model", "m", "--task", "mvbench"])
    with pytest.raises(ConfigError, match="--benchmark"):
        run(["evaluate", "--model", "m"])
