"""Spatial Narrative Score: segments, what the reader is asked, its letters, and the scores by hand."""

import json

import numpy as np
import pytest

from remot.commands.dispatch import run
from remot.data.media.video.encoding import write_video
from remot.errors import CheckpointError, ConfigError
from remot.evaluation.benchmarks.base import BenchmarkOptions
from remot.evaluation.benchmarks.media import shown_batch, with_media
from remot.evaluation.benchmarks.spatial_narrative import SpatialNarrative, num_frames, read_letter
from remot.models.text_model import TextModel
from tests.evaluation.benchmarks.stub import counts_of, values_of, verdicts_of
from tests.rollout.fake_server import reply, serving
from tests.tiny import model_folder


def row(number, kind, gold, scene="a", options=("A. left", "B. right")):
    return {
        "id": number,
        "dataset": "scannet",
        "scene_name": scene,
        "question_type": kind,
        "question": f"Question {number}?",
        "ground_truth": gold,
        "options": None if kind == "object_counting" else list(options),
    }


ROWS = [
    row(1, "object_rel_direction_easy", "A"),
    row(2, "object_rel_direction_hard", "B", options=("A. x", "B. y", "C. z", "D. w")),
    row(3, "object_counting", "4"),
    row(4, "route_planning", "C", scene="b", options=("A. x", "B. y", "C. z")),
]


@pytest.fixture
def data(tmp_path):
    """A video of 9.75 s and one of 2 s, both with 4 images a second."""
    (tmp_path / "scannet").mkdir()
    for name, count in (("a", 40), ("b", 9)):
        frames = np.full((count, 32, 32, 3), 50, np.uint8)
        frames[:, :, :, 0] += np.arange(count, dtype=np.uint8)[:, None, None] * 4
        write_video(tmp_path / "scannet" / f"{name}.mp4", frames, 4)
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in ROWS))
    return file


def reading(answers, asked=None):
    """A reader that answers by the question's number."""

    def grader(prompt):
        if asked is not None:
            asked.append(prompt)
        return next(answer for number, answer in answers.items() if f"Question {number}?" in prompt)

    return grader


def test_segments_are_eight_seconds_at_two_frames_a_second(data):
    """Of 9.75 s: 0 to 7.5 s, and 8 to 9.75 s with frames at 8, 8.5, 9 and 9.5 s. Videos are captioned once."""
    prompts = SpatialNarrative().read(data)
    spans = [(one.prompt_id, one.video.num_frames, one.video.start_seconds, one.video.end_seconds) for one in prompts]
    assert spans == [("scannet/a/0", 16, 0.0, 7.5), ("scannet/a/1", 4, 8.0, 9.75), ("scannet/b/0", 5, 0.0, 2.0)]
    shown = shown_batch(prompts[:1], "b").videos[0][0]
    assert shown.pts_seconds == tuple(k / 2 for k in range(16))
    assert num_frames(0.0, 100.0) == 16


def test_scores_by_hand(data):
    """Right, wrong and unreadable: 1/3 overall; the directions are one task with 1 of 2."""
    asked = []
    replies = {1: "so <answer>A</answer>", 2: r"\boxed{D}", 4: "C"}
    benchmark = SpatialNarrative(BenchmarkOptions(grader=reading(replies, asked)))
    captions = verdicts_of(benchmark, benchmark.read(data), ["<think>x</think>a door", "a wall", "a lamp"])
    assert [one.scores for one in captions] == [{}, {}, {}]
    verdicts = benchmark.concluded(captions)
    assert [one.parsed for one in verdicts] == ["A", "D", None]
    values = values_of(benchmark, verdicts)
    assert values["overall"] == pytest.approx(1 / 3)
    assert (values["task/object_rel_direction"], values["task/route_planning"]) == (0.5, 0.0)
    assert (values["caption/num_tokens"], values["caption/cut_off"]) == (3, 0)
    assert counts_of(benchmark, verdicts)["overall"] == 3
    chances = {metric.name: metric.chance for metric in benchmark.metrics(verdicts)}
    assert chances["overall"]["chance"] == pytest.approx((1 / 2 + 1 / 4 + 1 / 3) / 3)
    assert len(asked) == 3


def test_the_reader_sees_captions_with_their_times_and_no_word_about_frames(data):
    asked = []
    reader = reading(dict.fromkeys((1, 2, 4), "<answer>A</answer>"), asked)
    benchmark = SpatialNarrative(BenchmarkOptions(grader=reader))
    captions = verdicts_of(benchmark, benchmark.read(data), ["a door", "", "a lamp"])
    benchmark.concluded(captions)
    first = asked[0]
    assert "[0.0 s to 7.5 s] a door\n\n[8.0 s to 9.8 s] (no caption)\n\nQuestion 1?\n" in first
    assert "Question 1?\nOptions:\nA. left\nB. right\n" in first
    assert "frames" not in first
    assert "directly" not in first
    assert "lamp" not in first
    assert "lamp" in asked[2]


def test_videos_that_are_not_captioned_as_a_whole_are_not_asked_about(data):
    benchmark = SpatialNarrative(BenchmarkOptions(grader=reading({4: "<answer>C</answer>"})))
    captions = verdicts_of(benchmark, benchmark.read(data)[1:], ["a wall", "a lamp"])
    assert [one.prompt.prompt_id for one in benchmark.concluded(captions)] == ["4"]


def test_a_missing_video_is_reported(data):
    (data.parent / "scannet" / "b.mp4").unlink()
    prompts, missing = with_media(SpatialNarrative().read(data), skip_missing=True)
    assert [file.name for file in missing] == ["b.mp4"]
    assert len(prompts) == 2


def test_rows_without_options_and_runs_without_a_reader_are_refused(data):
    benchmark = SpatialNarrative()
    with pytest.raises(ConfigError, match="--judge_folder"):
        benchmark.concluded(verdicts_of(benchmark, benchmark.read(data), ["x"] * 3))
    data.write_text(json.dumps(ROWS[2]) + "\n")
    with pytest.raises(ConfigError, match="options"):
        SpatialNarrative().read(data)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("<answer> (C) </answer>", "C"),
        ("<answer>A</answer>\n<answer>B. right</answer>", "B"),
        ("<answer>E</answer>", None),
        ("<answer>Apple</answer>", None),
        (r"\boxed{\text{D}}", "D"),
        ("B", None),
        ("<answer>" * 50_000, None),
    ],
)
def test_letters(text, letter):
    assert read_letter(text) == letter


def words_of(data, *more):
    common = ("--benchmark", "spatial-narrative", "--data", data, "--model", model_folder(), "--max_new_tokens", 4)
    return ["evaluate", *map(str, (*common, "--device", "cpu", *more))]


def test_the_command_asks_an_endpoint_once_a_question(data, tmp_path):
    with serving(lambda *_: (200, reply("<answer>A</answer>"), {})) as (url, asked):
        words = words_of(data, "--judge_url", f"{url}/v1", "--judge_model", "r", "--out", tmp_path / "o")
        run(words)
        first = (tmp_path / "o" / "scores.json").read_bytes()
        run(words)
    assert len(asked) == 3
    assert (tmp_path / "o" / "scores.json").read_bytes() == first
    scores = json.loads(first)
    assert scores["metrics"]["overall"]["mean"] == pytest.approx(1 / 3)
    answers = [json.loads(line) for line in (tmp_path / "o" / "answers.jsonl").read_text().splitlines()]
    assert [one["gold"] for one in answers] == ["A", "B", "C"]


def test_the_command_reads_with_a_local_model(data, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(TextModel, "ask", lambda self, prompt: asked.append((self.folder, prompt)) or r"\boxed{B}")
    run(words_of(data, "--judge_folder", model_folder(), "--out", tmp_path / "o"))
    assert {folder for folder, _ in asked} == {str(model_folder())}
    scores = json.loads((tmp_path / "o" / "scores.json").read_text())
    assert scores["metrics"]["overall"]["mean"] == pytest.approx(1 / 3)
    both = ("--judge_folder", "m", "--judge_url", "u", "--judge_model", "m")
    for more, fact in (((), "--judge_folder"), (both, "one of")):
        with pytest.raises(ConfigError, match=fact):
            run(words_of(data, *more))


def test_a_local_model_answers_text_greedily(tmp_path):
    model = TextModel(str(model_folder()), max_new_tokens=5)
    first = model.ask("Which letter?")
    assert first == TextModel(str(model_folder()), max_new_tokens=5).ask("Which letter?")
    assert first != ""
    with pytest.raises(CheckpointError, match="nothing"):
        TextModel(str(tmp_path / "nothing")).ask("x")
