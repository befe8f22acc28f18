"""A stopped evaluation continues, asks nothing twice, and ends with the same bytes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from remot.data.media import write_video
from remot.data.media.spans import VideoSpan, read_span
from remot.errors import ConfigError, DecodeError
from remot.evaluation.benchmarks.base import Benchmark, EmbeddedImage, Mean, Metric, ModelReply, mean_of
from remot.evaluation.benchmarks.media import shown_batch, with_media
from remot.evaluation.benchmarks.replies import ReplyStore, content_digest, reply_key, settings_hash
from remot.evaluation.benchmarks.report import Facts, report_of, write_answers
from remot.evaluation.benchmarks.responders import AnswerSettings
from remot.evaluation.benchmarks.runner import answer_all
from remot.evaluation.report import table_text
from remot.rollout.servers.messages import encode_png
from tests.evaluation.benchmarks.stub import StubResponder, prompt_of


class Echo(Benchmark):
    """Right if the reply is the gold letter."""

    name = "echo"
    max_new_tokens = 4

    def read(self, data):  # noqa: ARG002
        return []

    def parse(self, prompt, text):  # noqa: ARG002
        return text or None

    def score(self, prompt, parsed, reply):  # noqa: ARG002
        return {"right": float(parsed == prompt.gold)}

    def metrics(self, verdicts):
        return [Metric("accuracy", mean_of(verdicts, "right"), "plain")]


PROMPTS = [prompt_of(f"p{k}", scene=f"s{k % 3}") for k in range(7)]
SETTINGS = AnswerSettings(max_new_tokens=4)


def answers(name):
    return "A" if int(name[1:]) % 2 else "B"


def run(folder, responder, prompts=PROMPTS, settings=SETTINGS):
    return answer_all(Echo(), prompts, responder, settings, ReplyStore(folder / "replies.jsonl"), 3)


def test_a_stopped_run_continues_with_the_batch_it_stopped_in(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, StubResponder(answers, stops_after=2))
    again = StubResponder(answers)
    verdicts = run(tmp_path, again)
    assert again.batches == [["p6"]]
    assert [one.reply.text for one in verdicts] == [answers(f"p{k}") for k in range(7)]
    whole = tmp_path / "whole"
    run(whole, StubResponder(answers))
    assert (whole / "replies.jsonl").read_bytes() == (tmp_path / "replies.jsonl").read_bytes()


def test_a_line_that_was_cut_short_is_asked_again_with_its_batch(tmp_path):
    run(tmp_path, StubResponder(answers))
    file = tmp_path / "replies.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    again = StubResponder(answers)
    run(tmp_path, again)
    assert again.batches == [["p6"]]
    lines = file.read_bytes().splitlines()
    assert lines[-1] == whole.splitlines()[-1]
    run(tmp_path, silent := StubResponder(answers))
    assert silent.batches == []


def test_half_a_batch_is_answered_as_a_whole_and_keeps_its_first_replies(tmp_path):
    run(tmp_path, StubResponder(answers))
    file = tmp_path / "replies.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:4] + lines[5:]))  # p4 is missing
    again = StubResponder(lambda _: "C")
    verdicts = run(tmp_path, again)
    assert again.batches == [["p3", "p4", "p5"]]
    assert [one.reply.text for one in verdicts] == ["B", "A", "B", "A", "C", "A", "B"]


def test_other_weights_settings_and_texts_take_no_old_replies(tmp_path):
    run(tmp_path, StubResponder(answers))
    for responder, settings in (
        (StubResponder(answers, identity="other"), SETTINGS),
        (StubResponder(answers), AnswerSettings(max_new_tokens=5)),
    ):
        run(tmp_path, responder, settings=settings)
        assert len(responder.batches) == 3
    changed = StubResponder(answers)
    run(tmp_path, changed, [prompt_of("p0", scene="s0", video=None), *PROMPTS[1:3]])
    assert changed.batches == []  # the same prompt
    setting = settings_hash({"a": 1})
    one = prompt_of("p0")
    assert reply_key(one, setting) != reply_key(prompt_of("p1"), setting)
    assert reply_key(one, setting) != reply_key(prompt_of("p0", images=(EmbeddedImage("i", b"x"),)), setting)
    video = tmp_path / "v.mp4"
    video.write_bytes(b"video")
    assert reply_key(one, setting) != reply_key(prompt_of("p0", video=VideoSpan(video, 4)), setting)


def test_other_media_of_the_same_name_take_no_old_replies(tmp_path):
    """Such as a folder of images that was made anew, or the one of --media that was not the right one."""

    def asked(folder, image, video):
        (tmp_path / folder).mkdir(exist_ok=True)
        files = [tmp_path / folder / name for name in ("a.png", "v.mp4")]
        for file, content in zip(files, (image, video), strict=True):
            file.write_bytes(content)
        prompts = [prompt_of("p0", images=(files[0],)), prompt_of("p1", video=VideoSpan(files[1], 4))]
        return [reply_key(prompt, "settings") for prompt in prompts]

    first = asked("first", b"image", b"video")
    assert asked("moved", b"image", b"video") == first
    changed = asked("first", b"IMAGE", b"VIDEO")  # as long as they were
    assert not set(changed) & set(first)


def test_media_that_vanish_are_named(tmp_path):
    with pytest.raises(DecodeError, match=r"p0.*gone\.png"):
        reply_key(prompt_of("p0", images=(tmp_path / "gone.png",)), "settings")


def test_two_prompts_of_one_id_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="p1"):
        run(tmp_path, StubResponder(answers), [*PROMPTS, prompt_of("p1")])


@pytest.mark.parametrize(
    "line", [b"[]\n", b"nonsense\n", b'{"key": 1, "text": "x", "num_tokens": 1}\n', b"[" * 100_000 + b"\n", b"\xff\n"]
)
def test_lines_that_are_no_replies_are_passed_over(tmp_path, line):
    (tmp_path / "replies.jsonl").write_bytes(line)
    again = StubResponder(answers)
    assert len(run(tmp_path, again)) == 7
    assert len(again.batches) == 3


def test_a_file_of_replies_has_one_store_at_a_time(tmp_path):
    store = ReplyStore(tmp_path / "replies.jsonl")
    with pytest.raises(ConfigError, match=r"replies\.jsonl.*another process"):
        ReplyStore(tmp_path / "replies.jsonl")
    del store
    ReplyStore(tmp_path / "replies.jsonl")


def test_missing_media_are_named_before_anything_is_asked(tmp_path):
    here = tmp_path / "here.png"
    here.write_bytes(b"x")
    prompts = [prompt_of(f"p{k}", images=(here, tmp_path / f"gone{k}.png")) for k in range(7)] + [
        prompt_of("fine", images=(here,))
    ]
    with pytest.raises(DecodeError) as error:
        with_media(prompts, skip_missing=False)
    assert error.value.reason == "missing media"
    assert all(f"gone{k}.png" in str(error.value) for k in range(5))
    assert "gone5.png" not in str(error.value)
    assert "7, of 7 of 8 prompts" in str(error.value)
    kept, missing = with_media(prompts, skip_missing=True)
    assert [prompt.prompt_id for prompt in kept] == ["fine"]
    assert len(missing) == 7


def test_what_is_shown(tmp_path):
    """Files and bytes as images; images with times as one video."""
    colours = [torch.full((3, 4, 6), value, dtype=torch.uint8) for value in (10, 200)]
    file = tmp_path / "a.png"
    file.write_bytes(encode_png(colours[0]))
    embedded = EmbeddedImage("b", encode_png(colours[1]))
    batch = shown_batch(
        [prompt_of("i", images=(file, embedded)), prompt_of("v", images=(file, embedded), image_seconds=(0.0, 0.5))],
        "d",
    )
    assert [image[0, 0, 0].item() for image in batch.images[0]] == [10, 200]
    assert batch.images[1] == []
    (video,) = batch.videos[1]
    assert video.pts_seconds == (0.0, 0.5)
    assert torch.equal(video.frames, torch.stack(colours))
    assert [question.text for question in batch.questions] == ["text of i", "text of v"]


def test_frames_of_a_video_are_spread_evenly_over_the_span(tmp_path):
    """Ten frames at 10 a second; of 0.2 to 0.8 s these are seven, of which 0, 3 and 6 are shown."""
    file = tmp_path / "v.mp4"
    write_video(file, np.stack([np.full((32, 32, 3), 20 * k, dtype=np.uint8) for k in range(10)]), 10)
    video = read_span(VideoSpan(file, 3, 0.2, 0.8))
    assert video.pts_seconds == pytest.approx((0.2, 0.5, 0.8))
    assert [round(frame.float().mean().item() / 20) for frame in video.frames] == [2, 5, 8]
    assert read_span(VideoSpan(file, 4)).pts_seconds == pytest.approx((0.0, 0.3, 0.6, 0.9))
    assert len(read_span(VideoSpan(file, 100))) == 10
    with pytest.raises(DecodeError, match=r"v\.mp4"):
        read_span(VideoSpan(file, 3, 5.0, 6.0))
    batch = shown_batch([prompt_of("v", video=VideoSpan(file, 2))], "d")
    assert batch.videos[0][0].pts_seconds == pytest.approx((0.0, 0.9))


def test_the_report_counts_what_is_left_out_and_is_the_same_twice(tmp_path):
    def report(folder):
        verdicts = run(folder, StubResponder(lambda name: "" if name == "p0" else answers(name)))
        facts = Facts("echo", "stub", "rows", {"decoding": "greedy"}, 12, 9, 2, 2, ("shared: none",))
        write_answers(folder / "answers.jsonl", verdicts)
        return report_of(Echo().metrics(verdicts), verdicts, facts)

    first, second = (report(tmp_path / name) for name in "ab")
    assert first.record() == second.record()
    assert (tmp_path / "a/answers.jsonl").read_bytes() == (tmp_path / "b/answers.jsonl").read_bytes()
    record = first.record()
    assert record["num_answered"] == 7
    assert (record["limit"], record["num_rows"], record["num_skipped"], record["num_missing_files"]) == (9, 12, 2, 2)
    assert record["metrics"]["accuracy"]["mean"] == pytest.approx(3 / 7)
    assert record["metrics"]["unparsed"]["mean"] == pytest.approx(1 / 7)
    assert record["metrics"]["cut_off"]["mean"] == 0
    notes = "\n".join(first.notes())
    assert "prompts left out: 2, missing files: 2" in notes
    assert "only the first 9 of 12" in notes
    assert "shared: none" in notes
    lines = [json.loads(line) for line in (tmp_path / "a/answers.jsonl").read_text().splitlines()]
    assert lines[1]["gold"] == "A"
    assert lines[1]["content"] == content_digest(PROMPTS[1]) != lines[2]["content"]
    assert lines[1]["parsed"] == lines[1]["reply"] == "A"
    assert lines[1]["scores"] == {"right": 1.0}


def test_a_prompt_is_known_again_by_its_content(tmp_path):
    """Two evaluations are paired by it: names and folders do not matter, bytes, text, right answer and span do."""

    def images(folder, *contents):
        (tmp_path / folder).mkdir()
        files = tuple(tmp_path / folder / f"{folder}{k}.png" for k in range(len(contents)))
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
        return files

    here, there = images("a", b"1", b"2"), images("b", b"1", b"2")
    first = prompt_of("p", images=here)
    same = replace(first, prompt_id="q", scene="t", images=there)
    embedded = replace(first, images=(EmbeddedImage("x", b"1"), EmbeddedImage("y", b"2")))
    assert content_digest(first) == content_digest(same) == content_digest(embedded)
    video, film, other = tmp_path / "v.mp4", tmp_path / "film.mp4", tmp_path / "other.mp4"
    for file, content in ((video, b"video"), (film, b"video"), (other, b"VIDEO")):
        file.write_bytes(content)
    filmed = content_digest(replace(first, video=VideoSpan(video, 2)))
    assert content_digest(replace(first, video=VideoSpan(film, 2))) == filmed
    others = [
        replace(first, video=VideoSpan(other, 2)),
        first,
        replace(first, images=images("c", b"1", b"3")),
        replace(first, images=here[::-1]),
        replace(first, text="other"),
        replace(first, gold="B"),
        replace(first, video=VideoSpan(video, 2)),
        replace(first, video=VideoSpan(video, 2, 0.5)),
    ]
    assert len({content_digest(one) for one in others}) == len(others)
    here[0].write_bytes(b"changed")
    assert content_digest(first) != content_digest(same)


def test_names_from_files_cannot_take_over_a_terminal():
    facts = Facts("echo", "w\x1b[2J", "rows [bold]", {}, 1, None, 0, 0)
    report = report_of([Metric("task/\x1b[31mred[/]", Mean([("s", 1.0)]))], [], facts)
    text = table_text(report.table())
    assert "\x1b" not in text
    assert "red[/]" in text
    assert "rows [bold]" in text


def test_many_replies_cut_off_are_a_note():
    verdicts = [Echo().judged(prompt, ModelReply("A", 4, cut_off=True)) for prompt in PROMPTS]
    facts = Facts("echo", "stub", "rows", {}, 7, None, 0, 0)
    assert any("--max_new_tokens" in note for note in report_of([], verdicts, facts).notes())
