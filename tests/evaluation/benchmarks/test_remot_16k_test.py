"""ReMoT-16K-Test on rows written by hand."""

import json

import pytest

from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks.remot_16k_test import Remot16KTest
from tests.evaluation.benchmarks.stub import counts_of, values_of, verdicts_of


def row(name, image, solution):
    message = {"role": "user", "content": "e.g., <answer>CAB</answer>"}
    return {"id": name, "images": [image], "messages": [message], "solution": f"<answer>{solution}</answer>"}


ROWS = {
    "agibot": [
        row("a1", "x/a_move_lr_1.png", "BAC"),
        row("a2", "x/a_lift_lower_1.png", "BAC"),
        row("a3", "x/a_grab_release_1.png", "BAC"),
        row("a4", "move_lr/a_move_complex_1.png", "BACABC"),
    ],
    "scannet": [row("s1", "d/scene0011_00/1.png", "ABCABCABCABC")],
    "generaldata": [
        row("g1", "/them/generaldata_resize/vl/images/1.png", "T"),
        row("g2", "/them/generaldata_resize/mm/images/1.png", "A"),
        row("g3", "/them/generaldata_resize/om/a/images/1.png", "AB"),
    ],
}
#: g1 "TRUE" is right by letter alone; s1 has the first, fifth and ninth letter and the last wrong group member.
REPLIES = [
    "<think>x</think><ANSWER> bac </ANSWER>",
    "<answer>BAB</answer><answer>BAC</answer>",
    "<think>x</think>BACX",
    "no tags",
    "<answer>ABCABCABCABB</answer>",
    "<answer>TRUE</answer>",
    "<answer>B</answer>",
    "<answer>AB</answer>",
]


@pytest.fixture
def folder(tmp_path):
    for name, rows in ROWS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "test.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return tmp_path


def test_columns_by_hand(folder):
    benchmark = Remot16KTest()
    prompts = benchmark.read(folder)
    assert [prompt.prompt_id for prompt in prompts][:2] == ["agibot/a1", "agibot/a2"]
    values = values_of(benchmark, verdicts_of(benchmark, prompts, REPLIES))
    agibot = (1 + 2 / 3 + 1 + 0) / 4  # BACX: zip counts three of three
    general = (1 + 0 + 1) / 3
    assert values["agibot/partial"] == pytest.approx(agibot)
    assert values["agibot/overall"] == 0.25
    assert values["scannet/overall"] == 0
    assert values["scannet/partial"] == pytest.approx(11 / 12)
    assert values["generaldata/overall"] == pytest.approx(1 / 3)
    assert values["generaldata/partial"] == pytest.approx(general)
    assert values["avg/overall"] == pytest.approx((0.25 + 0 + 1 / 3) / 3)
    assert values["avg/partial"] == pytest.approx((agibot + 11 / 12 + general) / 3)
    assert values["camera/overall"] == 0.75  # the group of 3, 7, 11 alone is wrong
    assert values["camera/vertical_angle"] == 0
    assert values["camera/horizontal_direction"] == 1
    assert values["gripper_move/overall"] == 0.5
    assert values["gripper_move/partial"] == pytest.approx((1 + 2 / 3) / 2)
    assert values["gripper_state/overall"] == 0
    assert values["gripper_state/partial"] == 1
    assert values["composite/partial"] == 0
    assert (values["counting"], values["counting/exact"]) == (1, 0)
    assert (values["rel_pos"], values["grounding"]) == (0, 1)
    counts = counts_of(benchmark, verdicts_of(benchmark, prompts, REPLIES))
    assert (counts["avg/overall"], counts["camera/overall"], counts["grounding"]) == (8, 1, 1)  # rows, not groups


def test_a_camera_answer_that_ends_early_loses_its_groups():
    benchmark = Remot16KTest()
    from tests.evaluation.benchmarks.stub import prompt_of

    prompt = prompt_of("s", gold="ABCABCABCABC", row={"source": "scannet", "class": ""})
    scores = benchmark.score(prompt, "ABCAB", None)
    assert scores["horizontal_direction"] == 0  # A, B against A, B, C
    short = prompt_of("s", gold="ABCAB", row={"source": "scannet", "class": ""})
    assert benchmark.score(short, "ABCABXXXX", None)["horizontal_direction"] == 0
    assert benchmark.score(short, "ABCAB", None)["vertical_angle"] == 1  # positions 7 and 11 are dropped of both


def test_the_mean_of_move_classes_is_plain(folder):
    """Three rows of one class and one of the other weigh alike."""
    rows = [row(f"a{k}", "x/a_move_lr.png", "A") for k in range(3)] + [row("b", "x/a_lift_lower.png", "A")]
    file = folder / "agibot" / "test.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    benchmark = Remot16KTest()
    verdicts = verdicts_of(benchmark, benchmark.read(file), ["<answer>A</answer>"] * 3 + ["<answer>B</answer>"])
    assert values_of(benchmark, verdicts)["gripper_move/overall"] == 0.5
    assert values_of(benchmark, verdicts)["avg/overall"] == 0.75
    assert counts_of(benchmark, verdicts)["avg/overall"] == 4
    assert verdicts[0].prompt.sources == ("x/a_move_lr.png", "x/a_move_lr.png")


def test_the_scene_of_a_scan_is_its_name(folder):
    prompt = Remot16KTest().read(folder / "scannet" / "test.jsonl")[0]
    assert prompt.scene == "scene0011_00"


@pytest.mark.parametrize(
    ("change", "fact"),
    [({"solution": "none"}, "solution"), ({"images": "x"}, "messages"), ({"messages": []}, "messages")],
)
def test_malformed_rows(folder, change, fact):
    record = row("a", "x.png", "A") | change
    if fact == "messages" and "images" in change:
        del record["messages"]
    file = folder / "agibot" / "test.jsonl"
    file.write_text(json.dumps(record) + "\n")
    with pytest.raises(AnnotationError, match=fact):
        Remot16KTest().read(file)


def test_files_of_other_names_are_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="agibot"):
        Remot16KTest().read(tmp_path / "rows.jsonl")
    with pytest.raises(ConfigError, match="agibot"):
        Remot16KTest().read(tmp_path)
