"""``remot score`` and the reward sections of configs/systems."""

import json
import os
import pty
import re
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from remot.commands import score as score_module
from remot.commands.parsing.config_files import files_of
from remot.commands.parsing.functions import run_function
from remot.commands.score import CHUNK_ROWS, reward_from, score_command
from remot.errors import AnnotationError, ConfigError
from remot.rewards import CompositeReward, PerTaskReward, ReMoTReward
from remot.rewards import offline as offline_module
from tests.helpers import PROJECT, assert_close, respond

SYSTEMS = PROJECT / "configs" / "systems"
NAMES = ("remot", "spacer", "video_str", "videochat_r1", "videochat_r1_5")
GROUNDING = {"intervals": [[15, 25]]}


def say(answer, think="x", more=""):
    return f"<think>{think}</think><answer>{answer}</answer>{more}"


def row(task, completion, reference, **more):
    return {"task": task, "completion": completion, "reference": reference} | more


#: A published configuration's reward is made once: that takes longer than scoring with it.
reward_of_system = cache(reward_from)


def reward_made_once(configs):
    files = files_of(configs)
    return reward_of_system(*files) if files[0].parent == SYSTEMS else reward_from(configs)


@pytest.fixture
def score(tmp_path, capsys, monkeypatch):
    """Scores rows, or lines as they are, and gives the records, what else was said, and the exit status."""

    def run(rows, config="videochat_r1", *arguments):
        file = tmp_path / "rows.jsonl"
        lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in rows]
        file.write_bytes(b"\n".join(lines))
        path = config if isinstance(config, Path) else SYSTEMS / f"{config}.yaml"
        monkeypatch.setattr(score_module, "reward_from", reward_made_once)
        status = 0
        try:
            run_function(score_command, ["--config", str(path), "--input", str(file), *arguments], "remot score")
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return [json.loads(line) for line in out.splitlines()], err, status

    return run


def test_rows_as_other_systems_write_them(score):
    """A byte-order mark, also where two files were joined; line ends of Windows; lines of spaces only."""
    one = json.dumps(row("temporal_grounding", say("15 to 25"), GROUNDING)).encode()
    mark = b"\xef\xbb\xbf"
    records, _, status = score([mark + one + b"\r", b"  \t\r", mark + one])
    assert status == 0
    assert len(records) == 2
    assert records[0]["total"] == records[1]["total"] > 0


# -- the systems ---------------------------------------------------------------------------------------------------

BOXES = str([[0, 0, 1, 1]] * 8)
VIDEOCHAT = [
    (row("temporal_grounding", say("10 to 20"), GROUNDING), 1 + 1 / 3, False),
    (row("tracking", say(BOXES), {"boxes": [[0, 0, 1, 0.5]] * 8}), 1.5, True),
    (row("multiple_choice", say("The answer is B"), {"answer": "B"}), 2, True),
    (row("multiple_choice", "<answer>B</answer>", {"answer": "B"}), 1, True),
    (row("classification", say("High"), {"answer": "high"}), 2, True),
    (row("grounded_qa", say("B", more="<glue>[(5, 10)]</glue>"), {"answer": "B", "intervals": [[0, 10]]}), 2.5, True),
    (row("grounded_qa", say("B", more="<glue>5</glue>"), {"answer": "B", "intervals": [[0, 10]]}), 1, False),
    (row("caption", say("A man opens the door."), {"events": ["a man opens a door", "a dog barks"]}), 1.5, False),
    (row("temporal_grounding_spans", say("[(0, 5), (5, 10)]"), {"intervals": [[0, 10]]}), 2, True),
    (row("detection", say("[0, 0, 1, 1]"), {"boxes": [[0, 0, 1, 0.5]]}), 1.5, True),
    (
        row("image_grounded_qa", say("B", more="<glue>[0,0,1,1]</glue>"), {"answer": "B", "boxes": [[0, 0, 1, 0.5]]}),
        2.1,
        True,
    ),
]


def test_videochat_r1_by_hand(score):
    """Format + overlap or accuracy, unweighted, but for the box of image grounded questions: 1 + 1 + 0.2·0.5."""
    records, err, status = score([one for one, _, _ in VIDEOCHAT])
    assert_close([record["total"] for record in records], [total for _, total, _ in VIDEOCHAT])
    assert [record["success"] for record in records] == [success for _, _, success in VIDEOCHAT]
    assert records[0]["parts"] | {"exact": None, "tracking_iou": None} == records[0]["parts"]
    assert records[0]["parts"]["temporal_iou"] == pytest.approx(1 / 3)
    assert (status, err.splitlines()[-1].split(":")[0]) == (0, "11 lines scored")


@pytest.mark.parametrize("name", NAMES)
def test_without_a_reference_nothing_is_called_right_or_wrong(score, name):
    """Form and length can be judged without one; whether the answer is right cannot."""
    records, err, _ = score([row("multiple_choice", "<answer>B</answer>", {})] * 2, name)
    assert [record["success"] for record in records] == [None, None]
    assert "0 successes" in err


def test_a_task_without_a_reward_does_not_spoil_another_of_the_same_id(score):
    rows = [row(task, say("B"), {"answer": "B"}, id="q") for task in ("multiple_choice", "multiple_choice", "poetry")]
    records, err, _ = score(rows, "videochat_r1", "--on_bad_line", "skip")
    assert [record["line"] for record in records] == [1, 2]
    assert "rows.jsonl:3: there is no reward for the task 'poetry'" in err


def test_no_part_is_a_negative_zero(score):
    (record,) = score([row("motion_contrast", respond("CAB"), {"solution": "CAB"})], "remot")[0]
    assert "-" not in json.dumps(record["parts"])


TEN, HALF = {"intervals": [[0, 10]]}, {"boxes": [[0, 0, 1, 0.5]]}
R1_5 = [
    ("temporal_grounding_spans", "<answer>[(0, 5), (5, 10)]</answer>", TEN, 2),
    ("temporal_grounding_spans", "<answer>[(0, 3), (3, 6), (6, 10)]</answer>", TEN, 2),
    ("temporal_grounding_spans", "<answer>[(0, 3), (3, 6), (6, 8), (8, 10)]</answer>", TEN, 1),
    ("temporal_grounding_spans", say("[(0, 10)]"), TEN, 1),
    ("temporal_grounding_spans", "<answer>[]</answer>", TEN, 1),
    ("temporal_grounding_spans", "<answer>[(10, 0)]</answer>", TEN, 1),
    ("temporal_grounding_spans", "<answer>[(0, 10]]</answer>", TEN, 1),
    ("temporal_grounding_spans", "<answer>[[0, 10]]</answer>", TEN, 1),
    ("temporal_grounding_spans", "<answer>0 to 10</answer>", TEN, 1),
    ("temporal_grounding_spans", "[(0, 10)]", TEN, 0),
    ("grounded_qa", "<answer>B</answer> <glue>[(5, 10)]</glue>", TEN | {"answer": "B"}, 2.5),
    ("grounded_qa", "<answer>B</answer><glue>[(0, 3), (3, 6), (6, 8), (8, 10)]</glue>", TEN | {"answer": "B"}, 1),
    ("grounded_qa", "<answer>B</answer>", TEN | {"answer": "B"}, 1),
    ("grounded_qa", "<glue>[(5, 10)]</glue><answer>B</answer>", TEN | {"answer": "B"}, 1.5),
    ("image_grounded_qa", "<answer>B</answer><glue>[0, 0, 1, 1]</glue>", HALF | {"answer": "B"}, 2.1),
    ("detection", "<answer>[0, 0, 1, 1]</answer>", HALF, 1.5),
    ("detection", "<answer>[.0, 0., 1, 1,]</answer>", HALF, 1.5),
    ("detection", "<answer>no box</answer>", HALF, 1),
    ("detection", "[0, 0, 1, 1]", HALF, 0.5),
    ("multiple_choice", "<answer>B</answer>", {"answer": "B"}, 2),
    ("multiple_choice", say("B"), {"answer": "B"}, 1),
]


def test_videochat_r1_5_by_hand(score):
    """Formats without a thought, around anything; lists that cannot be read, or of more than 3, have overlap 0."""
    records, _, _ = score([row(*one) for *one, _ in R1_5], "videochat_r1_5")
    assert_close([record["total"] for record in records], [total for *_, total in R1_5])


MAP, CENTRES = '<map>{"chair": [[0, 0]]}</map>', {"chair": [[0, 0]], "table": [[5, 5]]}


def test_spacer_by_hand(score):
    """Accuracy behind the gate + format. 400 words and two right ones in the group: + 0.2 each; not shuffled: + 0.3."""
    long = " ".join(["word"] * 400)
    shuffled = {"answer": "B", "counterfactuals": [say("B"), say("C")]}
    rows = [
        row("multiple_choice", say("B", MAP), {"answer": "B", "map_centres": CENTRES}),
        row("multiple_choice", MAP + say("B"), {"answer": "B", "map_centres": CENTRES}),
        row("numerical", say("10.8", MAP), {"number": 10, "map_centres": CENTRES}),
        row("regression", say("9"), {"number": 10}),
        row("multiple_choice", say("B", long), shuffled, id="p"),
        row("multiple_choice", say("B", long), shuffled, id="p"),
        row("multiple_choice", say("C"), shuffled, id="p"),
    ]
    maps = ("{'chair': [(0, 0.9)],}", "chair: (0, 0)", "{'chair': [[0, 0], '?']}")
    mapped = {"answer": "B", "map_centres": CENTRES}
    rows += [row("multiple_choice", say("B", f"<map>{written}</map>"), mapped) for written in maps]
    records, _, _ = score(rows, "spacer")
    totals = [2.5, 1.5, 2.4, 1.9, 2.5, 2.5, 1.0, *[2.5] * 3]
    assert_close([record["total"] for record in records], totals, rtol=1e-5)
    assert records[4]["parts"]["temporal_bonus"] == pytest.approx(0.3)
    assert records[0]["parts"]["temporal_bonus"] is None


def test_spacer_free_text(score):
    pytest.importorskip("rouge_score", reason="needs remot[rewards]")
    pytest.importorskip("jiwer", reason="needs remot[rewards]")
    rows = [
        row("free_form", say("the red car"), {"answer": "the red car"}),
        row("ocr", say("EXIT"), {"answer": "EXIT 5"}),
    ]
    records, _, _ = score(rows, "spacer")
    assert_close([record["total"] for record in records], [2, 1.5])


def test_video_str_by_hand(score):
    """Format 1 + answer + half of nodes and edges; the graph has one object of two in place and no edge: 0.25."""
    graph = '<graph>{"nodes": {"a": [0, 0]}}</graph>'
    graphs = [{"a": [0, 0], "b": [1, 1]}]
    rows = [
        row("multiple_choice", say("B", graph), {"answer": "B", "graphs": graphs}),
        row("numerical", say("10.8"), {"number": 10}),
        row("temporal_localisation", say("10 to 20"), GROUNDING),
        row("tracking", say("[[0, 0, 1, 1]]"), {"boxes": [[0, 0, 1, 0.5]]}),
    ]
    records, _, _ = score(rows, "video_str")
    assert_close([record["total"] for record in records], [2.25, 1.9, 1 + 1 / 3, 1.5])


def test_remot_by_hand(score):
    """3.5·format + 3.5·accuracy + 1.7·logic, the logic only where the letters are known; ABB can be true."""
    options = ["right", "left", "none"]
    slots = [
        {"attribute": "camera_yaw", "pair": pair, "options": options, "gold": gold}
        for pair, gold in zip([[1, 2], [1, 3], [2, 3]], "ABB", strict=True)
    ]
    rows = [
        row("multiple_choice", respond("ABB"), {"slots": slots}),
        row("multiple_choice", respond("ABA"), {"slots": slots}),
        row("multiple_choice", respond("ABB"), {"solution": "<answer>ABB</answer>"}),
        row("claims", respond("TF"), {"solution": "TF"}),
        row("numbers", respond("12"), {"slots": [slots[0] | {"options": [], "gold": "10", "tolerance": 2}]}),
    ]
    records, _, _ = score(rows, "remot")
    assert_close([record["total"] for record in records], [8.7, 3.5 + 3.5 / 3 - 1.7, 7, 7, 7], rtol=1e-5)
    assert [record["success"] for record in records] == [True, False, True, True, True]


@pytest.mark.slow
@pytest.mark.parametrize("path", [SYSTEMS / f"{name}.yaml" for name in NAMES], ids=lambda path: path.stem)
def test_configurations_say_how_to_score(path):
    assert isinstance(reward_from(path), PerTaskReward | ReMoTReward)
    assert f"remot score --config configs/systems/{path.name} --input rows.jsonl" in path.read_text()


def test_the_reward_of_a_training_run_will_do():
    """configs/grpo.yaml has no score section; its model.grpo.reward is ReMoT's."""
    assert isinstance(reward_from(SYSTEMS.parent / "grpo.yaml"), CompositeReward)


def test_a_score_section_alone_will_do(score, tmp_path):
    """And it comes before the reward of a training run."""
    section = "score: {reward: {class_path: remot.rewards.TemporalIoUReward}}\n"
    for more in ("", "model: {grpo: {reward: {class_path: remot.rewards.FormatReward}}}\n"):
        file = tmp_path / "reward.yaml"
        file.write_text(section + more)
        records, _, _ = score([row("temporal_grounding", say("10 to 20"), GROUNDING)], file)
        assert_close(records[0]["total"], 1 / 3)


# -- bad lines -----------------------------------------------------------------------------------------------------

GOOD = row("temporal_grounding", say("15 to 25"), GROUNDING)
BAD = [
    (b"{", "the line is no JSON"),
    (b"\xff\xfe{}", "the line is no JSON"),
    (b"[" * 100_000, "the line is no JSON"),
    (b"[1]", "a JSON object is needed, not list"),
    (b'{"task": ' + b"9" * 5000 + b"}", "the line is no JSON"),
    ({"task": "tracking"}, "completion has to be a text, not NoneType"),
    (row("tracking", 5, {}), "completion has to be a text, not int"),
    (row("tracking", "", {}, id=7), "id has to be a text, not int"),
    (row("tracking", "", []), "reference: a JSON object is needed, not list"),
    (row("tracking", "", {"box": []}), "unknown key 'box', did you mean 'boxes'?"),
    (row("tracking", "", {}, refs=1), "unknown key 'refs'"),
    (row("tracking", "", {"boxes": [[0, 0, 1]]}), "boxes: not the layout"),
    (row("tracking", "", {"boxes": [[0, 0, 1, "1"]]}), "boxes: not the layout"),
    (row("tracking", "", {"boxes": [[1, 0, 0, 1]]}), "not in the order left, top, right, bottom"),
    (row("tracking", "", {"intervals": [[5, 1]]}), "ends before it starts"),
    (row("tracking", "", {"intervals": [[True, 1]]}), "intervals: not the layout"),
    (b'{"task": "tracking", "completion": "", "reference": {"number": NaN}}', "must be finite numbers"),
    (b'{"task": "tracking", "completion": "", "reference": {"number": 1' + b"0" * 400 + b"}}", "number: not the"),
    (row("tracking", "", {"answer": 3}), "answer: not the layout"),
    (row("tracking", "", {"map_centres": [1]}), "map_centres: not the layout"),
    (row("tracking", "", {"graphs": [{"a": [1]}]}), "graphs: not the layout"),
    (row("tracking", "", {"answer_map": {"a": 1}}), "answer_map: not the layout"),
    (row("tracking", "", {"tracks": [{"name": "a", "pts_seconds": [0], "boxes": []}]}), "has 1 times and 0 boxes"),
    (row("tracking", "", {"tracks": [{"name": "a", "pts_seconds": [1, 1], "boxes": [[0, 0, 1, 1]] * 2}]}),
     "do not increase"),
    (row("tracking", "", {"tracks": [{"name": "a"}]}), "tracks: not the layout"),
    (row("tracking", "", {"solution": "left"}), "option letters are needed"),
    (row("tracking", "", {"solution": ""}), "option letters are needed"),
    (row("tracking", "", {"slots": [{"attribute": "camera_yaw"}]}), "slots: not the layout"),
    (row("tracking", "", {"slots": [{"attribute": "a", "pair": [1, 2], "options": ["x"], "gold": "B"}]}),
     "none of the 1"),
    (row("poetry", "", {}), "there is no reward for the task 'poetry'"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BAD, ids=range(len(BAD)))
def test_bad_lines_are_named(score, tmp_path, line, message):
    with pytest.raises(AnnotationError) as error:
        score([GOOD, line, GOOD])
    assert f"{tmp_path / 'rows.jsonl'}:2" in str(error.value)
    assert message in str(error.value)


def test_bad_lines_are_left_out_and_counted(score, tmp_path):
    records, err, status = score([GOOD, *(line for line, _ in BAD), GOOD], "videochat_r1", "--on_bad_line", "skip")
    assert [record["line"] for record in records] == [1, len(BAD) + 2]
    assert [record["total"] for record in records] == [2, 2]
    assert status == 0
    for number, (_, message) in enumerate(BAD, 2):
        (told,) = [line for line in err.splitlines() if f"{tmp_path / 'rows.jsonl'}:{number}:" in line]
        assert message in told
    assert err.splitlines()[-1].endswith(
        f"2 lines scored: mean total 2.0000, 2 successes, {len(BAD)} bad lines left out"
    )


def test_nothing_to_score(score):
    records, err, status = score([b"", b"{"], "videochat_r1", "--on_bad_line", "skip")
    assert (records, status) == ([], 1)
    assert "0 lines scored" in err


def test_long_lines(score, monkeypatch):
    monkeypatch.setattr(offline_module, "MAX_LINE_BYTES", 1000)
    records, err, _ = score([GOOD, b"x" * 5000, GOOD], "videochat_r1", "--on_bad_line", "skip")
    assert [record["line"] for record in records] == [1, 3]
    assert "rows.jsonl:2: the line is longer than 1000 bytes" in err


def test_missing_files(tmp_path):
    with pytest.raises(AnnotationError, match=r"no\.jsonl: cannot be read"):
        score_command(SYSTEMS / "remot.yaml", tmp_path / "no.jsonl")
    with pytest.raises(ConfigError, match="cannot be read"):
        reward_from(tmp_path / "no.yaml")


@pytest.mark.parametrize("text", ["a: 1", "score: 3", "score: {}", "model: {grpo: 5}", "score: [reward]"])
def test_configurations_without_a_reward(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml names no reward"):
        reward_from(tmp_path / "c.yaml")


@pytest.mark.parametrize("text", ["", "- 1"])
def test_configurations_that_are_no_mapping(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml is no mapping"):
        reward_from(tmp_path / "c.yaml")


def test_a_misspelt_setting_is_reported(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "score: {reward: {class_path: remot.rewards.TemporalIoUReward, init_args: {succes_at: 1}}}"
    )
    with pytest.raises(ConfigError, match="success_at"):
        reward_from(tmp_path / "c.yaml")


def test_the_example_of_the_page(score):
    """docs/rewards.md shows a line and what it is worth; parts of other tasks are left out there."""
    page = (SYSTEMS.parents[1] / "docs" / "rewards.md").read_text()
    line, told = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL))
    (record,), _, _ = score([line])
    assert record | {"parts": {name: part for name, part in record["parts"].items() if part is not None}} == told


# -- groups, chunks, streams ---------------------------------------------------------------------------------------


def test_groups_are_not_split(score):
    """A group that lies over the border of a chunk: both of its right answers get the bonus of the length."""
    alone = [row("multiple_choice", say("B"), {"answer": "B"}) for _ in range(CHUNK_ROWS - 1)]
    long = say("B", " ".join(["word"] * 400))
    group = [row("multiple_choice", long, {"answer": "B"}, id="g") for _ in range(2)]
    records, _, _ = score([*alone, *group, *alone], "spacer")
    assert len(records) == 2 * CHUNK_ROWS
    assert [record["line"] for record in records] == list(range(1, 2 * CHUNK_ROWS + 1))
    bonuses = [record["parts"]["length_bonus"] for record in records]
    assert bonuses == [0] * (CHUNK_ROWS - 1) + [0.2, 0.2] + [0] * (CHUNK_ROWS - 1)


def test_a_bad_task_does_not_take_its_chunk_along(score):
    rows = [GOOD, row("poetry", "", {}, id="p"), row("poetry", "", {}, id="p"), GOOD]
    records, err, _ = score(rows, "videochat_r1", "--on_bad_line", "skip")
    assert [record["line"] for record in records] == [1, 4]
    assert "2 bad lines left out" in err


def test_hostile_completions_are_scored(score):
    texts = [
        "\ud800",
        "\x1b[31m",
        "<answer>" * 1000,
        "\u2028\n",
        "<think>x</think><answer>" + "9" * 500 + " to 5</answer>",
    ]
    records, _, _ = score([row("temporal_grounding", text, GROUNDING) for text in texts])
    assert [record["success"] for record in records] == [False] * 5


def _chunks_until_closed(leader):
    with suppress(OSError):  # Linux reports the closed other end as an error
        while chunk := os.read(leader, 65536):
            yield chunk.decode()


def test_the_bar_does_not_swallow_the_output(tmp_path, monkeypatch, capsys):
    """With the error stream on a terminal the records still go to the standard output, not to the terminal."""
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(GOOD))
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        score_command(SYSTEMS / "videochat_r1.yaml", file)
    shown = "".join(_chunks_until_closed(leader))
    os.close(leader)
    assert '"total": 2.0' in capsys.readouterr().out
    assert '"total"' not in shown
    assert "scoring" in shown
