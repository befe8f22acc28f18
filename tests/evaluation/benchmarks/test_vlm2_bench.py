"""VLM2-Bench on rows written by hand, with the hand numbers of counting."""

import json
from dataclasses import replace

import pytest

from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks.vlm2_bench import VLM2Bench
from remot.evaluation.benchmarks.vlm2_bench.rules import (
    counting_score,
    group_letter,
    one_number,
    true_or_false,
    video_rating,
)
from tests.evaluation.benchmarks.stub import counts_of, values_of, verdicts_of


def row(name, gold, **settings):
    return {"q_id": name, "question": "?", "images": ["a.png", "b.png"], "gt_answer": gold} | settings


def read(tmp_path, **tasks):
    for name, rows in tasks.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return VLM2Bench().read(tmp_path)


def run(tmp_path, replies, **tasks):
    verdicts = verdicts_of(VLM2Bench(), read(tmp_path, **tasks), replies)
    return values_of(VLM2Bench(), verdicts), counts_of(VLM2Bench(), verdicts), verdicts


def test_statements_count_in_pairs_and_are_not_parsed(tmp_path):
    rows = [row("1", "T"), row("1", "F"), row("2", "T"), row("2", "F"), row("3", "T")]
    values, counts, _ = run(tmp_path, ["T", "F", "T", "F.", "T"], gc_mat=rows)
    assert (values["task/gc_mat"], counts["task/gc_mat"]) == (pytest.approx(1 / 3), 3)
    assert values["task/gc_mat/positive"] == 1
    assert values["task/gc_mat/negative"] == pytest.approx(1 / 3)  # of the ids, not of the negative rows
    assert values["overall"] == pytest.approx(1 / 3)


def test_comparisons_skip_pairs_that_lack_a_side(tmp_path):
    rows = [row("tf_1_p", "T"), row("tf_1_n", "F"), row("tf_2_p", "T")]
    values, counts, verdicts = run(tmp_path, ["True.", "it is false", "t"], oc_cpr=rows)
    assert (values["task/oc_cpr"], counts["task/oc_cpr"]) == (1, 1)
    assert (values["task/oc_cpr/all_rows"], counts["task/oc_cpr/all_rows"]) == (0.5, 2)
    assert values["task/oc_cpr/negative"] == 1
    assert verdicts[0].prompt.scene == verdicts[1].prompt.scene == "tf_1"
    swapped, _, _ = run(tmp_path, ["F", "T"], oc_cpr=[row("1_p", "F"), row("1_n", "t")])  # the id's end tells the side
    assert swapped["task/oc_cpr"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("T", "T"), ("it is FALSE", "F"), ("true or false", None), ("T and t", None), ("maybe", None), ("truth", None)],
)
def test_truth(text, said):
    assert true_or_false(text) == said


@pytest.mark.parametrize(
    ("predicted", "right", "length", "score"), [(3, 2, 4, 0.06697), (4, 1, 4, 0), (2, 3, 6, 0.40269), (2, 2, 4, 1)]
)
def test_counting_by_hand(predicted, right, length, score):
    assert counting_score(predicted, right, length) == pytest.approx(score, abs=1e-5)


def test_counts_out_of_range_have_no_score():
    assert all(counting_score(one, 2, 4) != counting_score(one, 2, 4) for one in (0, 5, None))
    assert counting_score(1, 1, 1) == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("There are 3", 3),
        ("three", 3),
        ("3 or three", None),
        ("2 or 3", None),
        ("Twenty-one.", 21),
        ("none", None),
        ("zero of 3", 3),
    ],
)
def test_one_number(text, number):
    assert one_number(text) == number


def test_the_normalised_mean_leaves_out_what_cannot_be_read(tmp_path):
    rows = [row(str(k), 2, image_seq_len=4) for k in range(3)] + [
        row("4", 2, image_seq=["a", "b", "c", "d"]),
        row("5", 2),
    ]
    values, counts, verdicts = run(tmp_path, ["2", "3", "many", "9", "2"], pc_cnt=rows)
    assert values["task/pc_cnt"] == 0.4
    assert (values["task/pc_cnt/normalised"], counts["task/pc_cnt/normalised"]) == (
        pytest.approx(2.06697 / 3, abs=1e-5),
        3,
    )
    assert values["task/pc_cnt/normalised/all_rows"] == pytest.approx(2.06697 / 5, abs=1e-5)
    assert [one.prompt.row["length"] for one in verdicts] == [4, 4, 4, 4, 2]


@pytest.mark.parametrize(
    ("text", "letter"),
    [("B) 1 and 3", "B"), ("(B)", "(B"), ("B", "B"), ("(A) or (B)", None), (" B ) x", "B"), ("", None)],
)
def test_groups(text, letter):
    assert group_letter(text) == letter


def test_grouping(tmp_path):
    values, _, _ = run(
        tmp_path, ["B) 1 and 3", "(A) or (B)", "(B)"], oc_grp=[row(str(k), "B) 1 and 3") for k in range(3)]
    )
    assert values["task/oc_grp"] == pytest.approx(1 / 3)


def test_the_overall_is_a_mean_of_sub_tasks(tmp_path):
    tasks = {"oc_grp": [row("1", "B) 1")] * 1, "oc-cnt": [row("1", 2), row("2", 1)]}
    values, _, _ = run(tmp_path, ["2", "2", "B) 1"], **tasks)
    assert values["overall"] == 0.75  # files in order of their names: 1/2 and 1


def test_videos_need_a_judge(tmp_path):
    rows = [row("v_AB_1", None, vid="v_AB_1.mp4"), row("v_ABA_1", None, vid="v_ABA_1.mp4")]
    benchmark, prompts = VLM2Bench(), read(tmp_path, **{"pc-v": rows})
    assert [prompt.gold for prompt in prompts] == ["AB", "ABA"]
    assert prompts[0].video.file == tmp_path / "v_AB_1.mp4"
    verdicts = verdicts_of(benchmark, prompts, ["a man, then a woman"] * 2)
    assert values_of(benchmark, verdicts)["overall"] != values_of(benchmark, verdicts)["overall"]
    assert "judge" in benchmark.metrics(verdicts)[0].note
    benchmark.options = replace(benchmark.options, grader=lambda _: "1")
    values = values_of(benchmark, verdicts_of(benchmark, prompts, ["a man, then a woman"] * 2))
    assert (values["task/pc_v/AB"], values["task/pc_v/ABA"], values["task/pc_v"]) == (1, 0.5, 0.75)
    benchmark.options = replace(benchmark.options, grader=lambda text: "Score: 1" if "digit: 1" in text else "unsure")
    values = values_of(benchmark, verdicts_of(benchmark, prompts, ["a man, then a woman"] * 2))
    assert (values["task/pc_v"], values["task/pc_v/all_rows"]) == (1, 0.5)
    (silent,) = verdicts_of(benchmark, prompts[:1], [""])
    assert silent.scores["right"] == 0


@pytest.mark.parametrize(
    ("reply", "highest", "rating"),
    [
        ("2", 2, 2),
        ("Score: 1", 2, 1),
        (" 0 ", 1, 0),
        ("2", 1, None),
        ("score 1", 2, None),
        ("7", 2, None),
        ("", 2, None),
    ],
)
def test_ratings(reply, highest, rating):
    found = video_rating(reply, highest)
    assert found == rating if rating is not None else found != found


def test_malformed_data(tmp_path):
    with pytest.raises(ConfigError, match="gc_mat"):
        VLM2Bench().read(tmp_path)
    for change in ({"gt_answer": None}, {"images": 3}, {"question": None}):
        with pytest.raises(AnnotationError, match="line 1"):
            read(tmp_path, gc_mat=[row("1", "T") | change])
    with pytest.raises(AnnotationError, match="gt_answer"):
        read(tmp_path, oc_cnt=[row("1", "many")], gc_mat=[])
