"""Which groups of runs differ, and what a comparison prints, saves and refuses."""

import csv
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from remot.cli import main
from remot.errors import ConfigError
from remot.evaluation.answer_table import PolicyAnswers
from remot.tracking.command import chosen_runs, compare_command
from remot.tracking.compare import table_of
from remot.tracking.folders import read_folder
from remot.tracking.groups import RunRow
from remot.tracking.html_report import report_html
from remot.tracking.render import CHANGES_TITLE, DIFFERENCES_TITLE, to_json, to_markdown
from remot.tracking.run_file import write_run_file
from remot.tracking.significance import significance
from remot.tracking.svg import Line, line_chart
from tests.helpers import PROJECT, assert_close

NUM_SCENES, PER_SCENE = 12, 4
KEYS = [(f"test/0/{k}", f"digest {k}") for k in range(NUM_SCENES * PER_SCENE)]
LR = "model.optimizer.init_args.lr"


def answers(rate, seed, keys=KEYS, metrics=("partial", "overall")):
    """Right answers at a rate, of a policy whose noise a seed names."""
    generator = np.random.default_rng(seed)
    right = (generator.random((len(keys), len(metrics))) < rate).astype(float)
    scores = {key: dict(zip(metrics, row.tolist(), strict=True)) for key, row in zip(keys, right, strict=True)}
    return PolicyAnswers({key: f"scene {k // PER_SCENE}" for k, key in enumerate(keys)}, scores)


def row(name, seed, final, base=None, **settings):
    kept = {"final": final} | ({} if base is None else {"base": base})
    means = {side: {name: one.mean(name) for name in one.metrics} for side, one in kept.items()}
    return RunRow(
        name, name, "FINISHED", "GRPO", "remot-tiny", seed, 60, 2.0, means.get("base", {}), means["final"],
        settings={LR: "1", **settings}, answers=kept, cost={"seconds": 120.0, "sampled_tokens": 1234.0},
    )  # fmt: skip


BASE = answers(0.2, 99)


def one_setting(rate, num_seeds, lr="1", first=0):
    rates = [(f"{lr}-{seed}", seed, answers(rate, 10 * first + seed)) for seed in range(num_seeds)]
    return [row(name, seed, final, BASE, **{LR: lr}) for name, seed, final in rates]


def test_a_group_changes_and_two_groups_differ_where_they_do():
    table = table_of("e", [*one_setting(0.5, 1, "1"), *one_setting(0.95, 1, "2", first=1)])
    tests = significance(table)
    assert [(one.first, one.second, one.metric, one.differs) for one in tests.contrasts] == [
        ("1", "2", "partial", True),
        ("1", "2", "overall", True),
    ]
    assert {(one.first, one.second) for one in tests.changes} == {("1 base", "1 trained"), ("2 base", "2 trained")}
    means = [one.final["partial"] for one in table.runs]
    assert_close(tests.contrasts[0].difference.estimate.mean, means[1] - means[0])
    (note,) = tests.notes
    assert note.startswith("unit scenes")


def test_p_values_are_corrected_over_the_whole_table():
    """Three groups against the first in two metrics are four tests, by Holm: the least p times four."""
    groups = [*one_setting(0.4, 1, "1"), *one_setting(0.6, 1, "2", first=1), *one_setting(0.7, 1, "3", first=2)]
    tests = significance(table_of("e", groups)).contrasts
    assert len(tests) == 4
    least = min(tests, key=lambda one: one.difference.p_value)
    assert_close(least.corrected, 4 * least.difference.p_value)
    assert all(one.corrected >= one.difference.p_value for one in tests)


def test_from_three_seeds_on_the_seeds_are_the_unit():
    table = table_of("e", [*one_setting(0.5, 3, "1"), *one_setting(0.6, 3, "2", first=1)])
    tests = significance(table, metrics=["partial"])
    (contrast,) = tests.contrasts
    finals = [[run.final["partial"] for run in group.runs] for group in table.groups]
    assert contrast.difference.unit == "seeds"
    assert_close(contrast.difference.p_value, stats.ttest_ind(finals[1], finals[0], equal_var=False).pvalue)
    base = BASE.mean("partial")
    assert_close(tests.changes[0].difference.p_value, stats.ttest_1samp(finals[0], base).pvalue)
    assert contrast.difference.mcnemar is None


def test_fewer_seeds_are_paired_by_question_within_the_seed():
    """Of seeds (0, 1) and (1, 2) the second run of the one group meets the first of the other."""
    first = [row("a", 0, answers(0.9, 1)), row("b", 1, answers(0.3, 2))]
    second = [row("c", 1, answers(0.6, 3), **{LR: "2"}), row("d", 2, answers(0.1, 4), **{LR: "2"})]
    (contrast,) = significance(table_of("e", first + second), metrics=["partial"]).contrasts
    assert_close(contrast.difference.estimate.mean, second[0].final["partial"] - first[1].final["partial"])
    assert contrast.difference.mcnemar is not None


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_other_questions_give_a_sentence_and_no_p_value(num_seeds):
    """The same addresses with other images, as of another data set, for half of the questions."""
    others = [*KEYS[:24], *((address, f"other {digest}") for address, digest in KEYS[24:])]
    second = [row(f"x{s}", s, answers(0.9, s, others), **{LR: "2"}) for s in range(num_seeds)]
    tests = significance(table_of("e", [*one_setting(0.5, num_seeds), *second]))
    assert tests.contrasts == ()
    assert any("24 of 72" in note for note in tests.notes)


def test_runs_that_keep_no_answers_give_a_sentence():
    bare = RunRow("b", "b", "FINISHED", "SFT", "m", 0, 60, 1.0, {}, {"partial": 0.5}, settings={LR: "2"})
    tests = significance(table_of("e", [*one_setting(0.5, 1), bare]))
    assert tests.contrasts == ()
    assert any("held_out_answers.jsonl" in note for note in tests.notes)


def test_the_baseline_can_be_chosen():
    table = table_of("e", [*one_setting(0.5, 1, "1"), *one_setting(0.6, 1, "2", first=1)])
    assert {(one.first, one.second) for one in significance(table, 2).contrasts} == {("2", "1")}
    with pytest.raises(ConfigError, match=r"--baseline 3: there are 2 groups"):
        significance(table, 3)


def test_scores_below_a_name_can_be_chosen():
    metrics = ("partial", "attribute/gripper/partial", "attribute/camera_yaw/partial")
    runs = [row(lr, 0, answers(0.5, int(lr), metrics=metrics), **{LR: lr}) for lr in "12"]
    table = table_of("e", runs)
    tests = significance(table, metrics=["attribute"]).contrasts
    assert [one.metric for one in tests] == ["attribute/camera_yaw/partial", "attribute/gripper/partial"]
    with pytest.raises(ConfigError, match=r"partail.*did you mean 'partial'"):
        significance(table, metrics=["partail"])


# -- folders -----------------------------------------------------------------------------------------------------


def run_folder(folder, seed, sides, **settings):
    folder.mkdir()
    record = {
        "name": folder.name,
        "state": "finished",
        "step": 60,
        "tags": {"remot.strategy": "GRPO", "remot.base_model": "remot-tiny", "remot.seed": str(seed)},
        "mlflow": None,
        "cost": {"seconds": 90.0, "sampled_tokens": 5000, "peak_memory_gib": 1.5},
        "settings": {LR: "1", "seed_everything": str(seed), **settings},
    }
    write_run_file(folder, record)
    first = next(iter(sides.values()))
    lines = []
    for key in first.scores:
        scores = {side: dict(one.scores[key]) for side, one in sides.items()}
        lines.append(json.dumps({"id": key[0], "content": key[1], "scene": first.scenes[key], **scores}))
    (folder / "held_out_answers.jsonl").write_text("\n".join(lines) + "\n")
    return str(folder)


def evaluation_folder(folder, policy):
    folder.mkdir()
    metrics = {"partial": {"mean": policy.mean("partial"), "low": None, "n": 48}, "unparsed": {"mean": None}}
    record = {"benchmark": "remot-bench", "weights": "remot-tiny", "metrics": metrics}
    (folder / "scores.json").write_text(json.dumps(record))
    lines = [
        json.dumps({"id": key[0], "content": key[1], "scene": policy.scenes[key], "scores": dict(scores)})
        for key, scores in policy.scores.items()
    ]
    (folder / "answers.jsonl").write_text("\n".join(lines))
    return str(folder)


def test_folders_of_runs_need_no_mlflow(tmp_path, capsys):
    folders = [run_folder(tmp_path / "a", 0, {"base": BASE, "final": answers(0.5, 0)}),
               run_folder(tmp_path / "b", 1, {"base": BASE, "final": answers(0.9, 1)})]  # fmt: skip
    main(["compare", "--runs", *folders, "--format", "json", "--png", "null"])
    record = json.loads(capsys.readouterr().out)
    assert [(run["name"], run["seed"], run["steps"], run["minutes"], run["group"]) for run in record["runs"]] == [
        ("a", 0, 60, 1.5, 1),
        ("b", 1, 60, 1.5, 2),
    ]
    assert record["runs"][0]["cost"]["sampled_tokens"] == 5000
    partial = next(one for one in record["contrasts"] if one["metric"] == "partial")
    assert partial["differs"] is True
    assert partial["mcnemar"]["won"] > partial["mcnemar"]["lost"]
    assert len(record["changes"]) == 4


def test_two_evaluations_are_paired(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    rates = {"base": 0.3, "new": 0.9}
    folders = [evaluation_folder(tmp_path / name, answers(rate, k)) for k, (name, rate) in enumerate(rates.items())]
    compare_command(runs=folders, png=None)
    out = capsys.readouterr().out
    assert "remot-bench" in out
    assert re.search(r"1 → 2\s+partial\s+\+0\.\d+ \[.*\]\s+<0\.001\s+0?\.?<?0\.00\d\s+yes", out)


def test_two_evaluations_are_distinguished_by_what_they_asked_and_how(tmp_path, capsys, monkeypatch):
    """Greedy and sampled answers of the same weights, the first 10 questions and all 24."""
    monkeypatch.setenv("COLUMNS", "200")
    asked = {"greedy": ({"decoding": "greedy"}, 10), "sampled": ({"temperature": 1.0}, 24)}
    for name, (settings, count) in asked.items():
        file = Path(evaluation_folder(tmp_path / name, BASE)) / "scores.json"
        facts = {"settings": settings, "num_answered": count, "num_scenes": 7, "version": "0123456789abcdef01"}
        file.write_text(json.dumps(json.loads(file.read_text()) | facts))
    compare_command(runs=[str(tmp_path / name) for name in asked], png=None)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["decoding.decoding", "greedy", "–"] in lines
    assert ["decoding.temperature", "–", "1.0"] in lines
    assert ["prompts", "10", "24"] in lines
    assert not any(line[:1] in (["scenes"], ["data"]) for line in lines)  # the same on both sides


def test_scores_of_a_benchmark_that_runs_do_not_have_are_columns(tmp_path, capsys):
    """Of one's own questions accuracy and score, not each task's, and not what counts replies."""
    file = Path(evaluation_folder(tmp_path / "a", BASE)) / "scores.json"
    means = {"accuracy": 0.25, "score": 0.5, "task/when/score": 1.0, "unparsed": 0.1, "cut_off": 0.2, "num_tokens": 9}
    metrics = {name: {"mean": mean} for name, mean in means.items()}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"metrics": metrics}))
    compare_command(runs=[str(tmp_path / "a")], format="markdown", png=None)
    header, _, cells = (line.split(" | ") for line in capsys.readouterr().out.splitlines()[:3])
    scores = {name: cell for name, cell in zip(header, cells, strict=True) if "→" in cell}
    assert scores == {"accuracy": "– → 0.25", "score": "– → 0.50", "cut off": "– → 0.20"}


def test_an_evaluation_of_an_earlier_version_names_the_file(tmp_path):
    folder = tmp_path / "old"
    evaluation_folder(folder, BASE)
    (folder / "answers.jsonl").write_text('{"id": "a", "scores": {"partial": 1.0}}\n')
    with pytest.raises(ConfigError, match=r"answers\.jsonl: line 1 names no question; run the command"):
        read_folder(folder)


def test_a_folder_of_runs_stands_for_those_in_it(tmp_path):
    for name in ("b", "a"):
        evaluation_folder(tmp_path / name, BASE)
    (tmp_path / "log.txt").write_text("of a sweep")
    found = chosen_runs(None, "sqlite:///absent.db", [str(tmp_path)])
    each = chosen_runs(None, "sqlite:///absent.db", [str(tmp_path / "a"), str(tmp_path / "b")])
    assert [(run.name, run.run_id) for run in found] == [(run.name, run.run_id) for run in each]
    assert len(found) == 2


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"neither a run \(run\.json\) nor an evaluation"):
        compare_command(runs=[str(tmp_path)], png=None)
    with pytest.raises(ConfigError, match=r"'absent' is no folder; give --experiment"):
        compare_command(runs=["absent"], png=None)
    with pytest.raises(ConfigError, match="--experiment NAME"):
        compare_command(png=None)
    (tmp_path / "scores.json").write_text("{")
    with pytest.raises(ConfigError, match=r"scores\.json is damaged"):
        compare_command(runs=[str(tmp_path)], png=None)


# -- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def table():
    hostile = row("<script>x</script>\x1b[31m", 0, answers(0.9, 5), BASE, **{LR: "<b>2"})
    curve = tuple((step, step / 10) for step in range(10))
    drawn = RunRow(**{**vars(one_setting(0.5, 1)[0]), "curve": curve, "curves": {"train/nll": curve}})
    return table_of("e & f", [drawn, hostile])


class Tags(HTMLParser):
    """Tags and the addresses that a page refers to."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "wbr", "br", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_runs_stand_first_where_each_is_a_group(table, monkeypatch):
    """Their table says which run a group's number means, before tests speak of it."""
    runs, others = "Runs and what they cost", [DIFFERENCES_TITLE[1:], CHANGES_TITLE[1:]]
    grouped = report_html(table, significance(table))
    assert grouped.index(runs) > max(map(grouped.index, others))
    assert "init_args.<wbr>lr" in grouped
    monkeypatch.setattr(type(table), "is_run_by_run", True)
    page = report_html(table, significance(table))
    assert page.count(runs) == 1
    assert page.index(runs) < min(map(page.index, others))


def test_the_page_is_self_contained_and_inert(table):
    page = report_html(table, significance(table))
    parsed = Tags()
    parsed.feed(page)
    assert "script" not in parsed.tags
    assert (parsed.addresses, parsed.open) == ([], [])
    assert "default-src 'none'" in page
    assert "<b>2" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert "url(" not in page
    assert parsed.tags.count("figure") == 2
    assert "prefers-color-scheme:dark" in page
    assert "train/nll" in page
    assert "+0." in page


def test_the_csv_has_a_line_for_each_run_and_each_test(table, tmp_path):
    from remot.tracking.csv_files import write_csv

    tests = significance(table)
    runs, tested = write_csv(table, tests, tmp_path / "new" / "c.csv")
    assert tested.name == "c_tests.csv"
    lines = list(csv.DictReader(runs.open(newline="")))
    assert [(line["group"], line["seed"], line["cost/sampled_tokens"]) for line in lines] == [
        ("1", "0", "1234.0"),
        ("2", "0", "1234.0"),
    ]
    assert_close(float(lines[0]["final/partial"]), table.runs[0].final["partial"])
    assert lines[0][LR] == "1"
    rows = list(csv.DictReader(tested.open(newline="")))
    assert len(rows) == len(tests.changes) + len(tests.contrasts)
    assert_close(float(rows[0]["p_holm"]), tests.changes[0].corrected)


def test_a_spreadsheet_finds_no_formula(tmp_path):
    from remot.tracking.csv_files import write_csv

    table = table_of("e", [row("=cmd()", 0, answers(0.5, 1))])
    (file,) = write_csv(table, significance(table), tmp_path / "c.csv")
    assert next(csv.DictReader(file.open(newline="")))["name"] == "'=cmd()"


def test_markdown_and_json_hold_the_tests(table):
    tests = significance(table)
    assert "| 1 → 2 | partial |" in to_markdown(table, tests)
    record = json.loads(to_json(table, tests))
    assert record["differences"] == {LR: ["1", "<b>2"]}
    assert record["notes"] == list(tests.notes)


def test_charts_by_hand():
    """Two points of a line at the ends of both axes; a value that is not finite is left out."""
    svg = line_chart([Line([(0, 0.0), (1, math.nan), (2, 1.0)], 0)], "step")
    assert 'points="58.0,226.0 468.0,12.0"' in svg
    assert line_chart([Line([(0, 1.0)], 0)], "step") == ""


# -- a real run --------------------------------------------------------------------------------------------------

RUNS = PROJECT / "tests" / "tracking" / "data"


GREEDY = ["partial_greedy", "overall_greedy", "logic_greedy"]


@pytest.fixture(scope="module")
def two_seeds():
    """Two seeds of remot-tiny after eight steps of GRPO, a cell of configs/sweeps/small.yaml, as the runs keep them."""
    return [read_folder(RUNS / name) for name in ("seed0", "seed1")]


def test_base_and_trained_remot_tiny_differ(two_seeds):
    for run in two_seeds:
        by_metric = {one.metric: one for one in significance(table_of("e", [run]), metrics=GREEDY).changes}
        assert list(by_metric) == GREEDY
        assert [one.differs for one in by_metric.values()] == [True, True, True]
        assert min(one.difference.estimate.mean for one in by_metric.values()) > 0.1


def test_two_seeds_of_one_setting_do_not_differ(two_seeds):
    table = table_of("e", two_seeds, ("name",))
    for metrics in ((), GREEDY):
        tests = significance(table, metrics=metrics).contrasts
        assert len(tests) >= 3
        assert [one.metric for one in tests if one.differs is not False] == []
