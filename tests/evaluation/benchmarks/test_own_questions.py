"""Scores of one's own questions by type of answer, by hand."""

import json

import pytest

from remot.errors import ConfigError
from remot.evaluation.benchmarks.base import BenchmarkOptions
from remot.evaluation.benchmarks.own_questions import OwnQuestions
from remot.rewards.answers.typed import answer_scores, answer_text, read_answer, word_f1
from tests.evaluation.benchmarks.stub import values_of, verdicts_of

ROWS = [
    {
        "images": ["a.png"],
        "question": "Which?",
        "options": ["left", "right"],
        "answer": "B",
        "task": "side",
        "scene": "k",
    },
    {"images": ["a.png"], "question": "How many?", "answer": 10, "task": "count", "scene": "k"},
    {"video": "v.mp4", "start": 1, "question": "When?", "answer": [[0, 10]], "task": "when"},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("<think>C</think><answer> B </answer> D", "B"),
        ("<answer>B</answer><answer>C</answer>", "B"),
        ("<think>C</think> B ", "B"),
        (" B ", "B"),
        ("<answer>B", "<answer>B"),
        ("", ""),
    ],
)
def test_what_a_reply_answers(reply, text):
    assert answer_text(reply) == text


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("B", "letter", "B"),
        ("(B)", "letter", "B"),
        ("B. right", "letter", "B"),
        ("Right.", "letter", "B"),
        ("Because", "letter", None),
        ("b", "letter", None),
        ("Ｂ", "letter", "B"),
        ("（Ｂ）", "letter", "B"),
        ("Ｒｉｇｈｔ", "letter", "B"),
        ("A right", "letter", "B"),
        ("A. right", "letter", "A"),
        ("A turn", "letter", "A"),
        ("about 1,200 m", "number", 1200.0),
        ("1,234,567.5", "number", 1234567.5),
        ("2,5", "number", 2.0),  # no thousands: a list, of which the first number counts
        ("3, 4", "number", 3.0),
        ("1,2345", "number", 1.0),
        ("0,123", "number", 0.0),
        ("1234,567", "number", 1234.0),
        ("-.5", "number", -0.5),
        ("many", "number", None),
        ("\u2212３.5 m", "number", -3.5),
        ("1.5e3", "number", 1500.0),
        ("2E-1", "number", 0.2),
        ("10²", "number", 10.0),
        ("3 each", "number", 3.0),
        ("[(1.0, 2.5), [3, 4]]", "intervals", [(1.0, 2.5), (3.0, 4.0)]),
        ("from 1.0 to 2.5", "intervals", [(1.0, 2.5)]),
        ("never", "intervals", None),
        ("[[0, 0, 1, 1]]", "boxes", [(0, 0, 1, 1)]),
        ("[0, 0, 1, 1]", "boxes", [(0, 0, 1, 1)]),
        ("[0, 0, 1]", "boxes", None),
        ("", "word", None),
        ("red", "word", "red"),
    ],
)
def test_answers_are_read_by_type(text, kind, expected):
    assert read_answer(text, kind, ("left", "right")) == expected


@pytest.mark.parametrize(
    ("parsed", "gold", "kind", "score", "right"),
    [
        ("B", "B", "letter", 1, 1),
        ("A", "B", "letter", 0, 0),
        (None, "B", "letter", 0, 0),
        (9.0, 10.0, "number", 0.9, 0),  # error 0.1: all tolerances but 0.05
        (10.0, 10.0, "number", 1, 1),
        ("The ball.", "ball", "word", 1, 1),
        ("a red ball", "the blue ball", "text", 0.5, 0),  # red ball, blue ball: 2·1/4
        ([(0.0, 5.0), (8.0, 10.0)], ((0.0, 10.0),), "intervals", 0.7, 1),
        ([(0.0, 4.0)], ((0.0, 10.0),), "intervals", 0.4, 0),
        ([(0, 0, 2, 1)], ((0, 0, 1, 1),), "boxes", 0.5, 1),
        ([(0, 0, 1, 1)] * 2, ((0, 0, 1, 1),), "boxes", 0, 0),
    ],
)
def test_scores_by_hand(parsed, gold, kind, score, right):
    found = answer_scores(parsed, gold, kind)
    assert found["score"] == pytest.approx(score)
    assert found["right"] == right


def test_the_f1_of_repeated_words_counts_each_once():
    assert word_f1("ball ball", "ball") == pytest.approx(2 / 3)  # shared 1 of 2 + 1
    assert word_f1("the", "a") == 1
    assert word_f1("", "ball") == 0


def test_from_rows_to_the_table(file):
    benchmark = OwnQuestions()
    prompts = benchmark.read(file)
    assert [prompt.scene for prompt in prompts] == ["k", "k", "v.mp4"]
    assert prompts[0].text.splitlines() == [
        "Which?",
        "A. left",
        "B. right",
        "Answer with the letter of the right option in <answer></answer>.",
    ]
    assert prompts[0].images == (file.parent / "a.png",)
    assert (prompts[2].video.file, prompts[2].video.start_seconds, prompts[2].video.num_frames) == (
        file.parent / "v.mp4",
        1.0,
        32,
    )
    verdicts = verdicts_of(benchmark, prompts, ["<answer>B</answer>", "8", "0 to 5"])
    values = values_of(benchmark, verdicts)
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert values["score"] == pytest.approx((1 + 0.7 + 0.5) / 3)
    assert values["task/count/accuracy"] == 0
    assert values["type/intervals/score"] == 0.5
    chances = {metric.name: metric.chance for metric in benchmark.metrics(verdicts)}
    assert chances["task/side/accuracy"] == {"chance": 0.5}
    assert chances["task/count/accuracy"] == {}


def test_options_choose_frames_and_the_folder_of_media(file, tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    (media / "v.mp4").write_bytes(b"x")
    benchmark = OwnQuestions(BenchmarkOptions(media=media, num_frames=4))
    video = benchmark.read(file)[2].video
    assert (video.file, video.num_frames) == (media / "v.mp4", 4)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.jsonl"):
        OwnQuestions().read(tmp_path / "nothing.jsonl")


def test_ways_to_write_one_word_are_one():
    for said in ("cafe\u0301", "Ｃａｆ\u00e9", "\u00a0caf\u00e9.", "\u201ccaf\u00e9\u201d"):
        assert answer_scores(read_answer(said, "word"), "caf\u00e9", "word")["right"] == 1
    assert answer_scores("10²", "102", "word")["right"] == 0
