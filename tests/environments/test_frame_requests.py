"""Frames on request: what is read, what is shown, and what hostile or endless requests come to."""

import time
from dataclasses import dataclass, field, replace

import pytest
import torch

from remot.environments import Episode, FrameRequests, TurnSettings
from remot.environments.frame_requests import shrunk
from remot.errors import ConfigError
from remot.rewards.parsing.requests import FrameLookUp, FrameRange, TimeRequest, action_answer, action_in, calls_in
from remot.structures import Reference, Turn
from tests.helpers import make_question


@dataclass
class Frames:
    """41 frames, ten a second, of which each is its number throughout."""

    pts_seconds: list = field(default_factory=lambda: [number / 10 for number in range(41)])
    size: tuple = (3, 8, 16)
    can_read: bool = True
    asked: list = field(default_factory=list)

    def read(self, frame_indices):
        self.asked.append(list(frame_indices))
        images = [torch.full(self.size, number, dtype=torch.uint8) for number in frame_indices]
        return images if self.can_read else None


def asked(calls):
    return f"<think>?</think><request>{calls}</request>"


def reply_to(response, *, turns=(), clip=None, images_left=16, turns_left=2, **settings):
    episode = Episode(make_question(), response, turns, (), clip or Frames(), turns_left, images_left)
    return FrameRequests(**settings).respond(episode)


def numbers(reply):
    return [int(image[0, 0, 0]) for image in reply.images]


def counted(reply):
    return {name: count for name, count in reply.counts.items() if count}


# -- what is read --------------------------------------------------------------------------------------------------


def test_calls_are_read():
    assert calls_in(asked("FrameAt(2.5)"), "request") == [TimeRequest(2.5, 2.5, is_single=True)]
    assert calls_in(asked(" VideoClip( 1, 4.25 )\nFrameAt(0)"), "request") == [
        TimeRequest(1.0, 4.25),
        TimeRequest(0.0, 0.0, is_single=True),
    ]
    assert calls_in("FrameAt(2.5)", "request") == [], "reasoning about a call asks for nothing"


@pytest.mark.parametrize(
    "call", ["", "FrameAt()", "FrameAt(two)", "FrameAt(1e9)", "FrameAt(nan)", "VideoClip(1)", "FrameAt(1)x",
             "__import__('os')", "FrameAt(1, 2)", "frameat(1)", "FrameAt(1234567890)"],
)  # fmt: skip
def test_what_is_no_call(call):
    assert calls_in(asked(call), "request") == [None]


def test_actions_are_read():
    assert action_in("<action>choose frames between 3 and 20</action>") == FrameRange(3, 20)
    assert action_in("<action>get frame number at time 02:05</action>") == FrameLookUp(125)
    assert action_in("<action>choose frames between 3 and 1234567890</action>") is None
    assert action_in("<action>dance</action>") is None
    assert action_answer("<action>output answer:  B</action>") == "B"
    assert action_answer("<action>choose frames between 3 and 20</action>") is None


def test_hostile_texts_take_linear_time():
    hostile = (
        "<request>" * 20_000,
        "<request>" + "FrameAt(" * 30_000,
        asked("FrameAt(1);" * 20_000),
        "<action>" * 30_000,
        "<action>choose frames between " + "9" * 200_000 + "</action>",
    )
    started = time.perf_counter()
    for text in hostile:
        assert len(calls_in(text, "request")) <= 64
        action_in(text)
    assert time.perf_counter() - started < 2


# -- what is shown -------------------------------------------------------------------------------------------------


def test_a_single_frame_and_a_clip():
    reply = reply_to(asked("FrameAt(2.52); VideoClip(1.0, 1.6)"), frames_per_clip=3)
    assert numbers(reply) == [25, 10, 13, 16], "the nearest frame; three even times 1.0, 1.3, 1.6"
    assert "2.50" in reply.text
    assert "1.00, 1.30, 1.60 s" in reply.text
    assert counted(reply) == {"requests": 2, "granted": 2}
    assert not reply.is_refused


def test_a_short_clip_shows_each_frame_once():
    assert numbers(reply_to(asked("VideoClip(1.0, 1.2)"))) == [10, 11, 12]


def test_a_range_and_a_look_up():
    reply = reply_to("<action>choose frames between 0 and 14</action>", grammar="frame_thinker")
    assert numbers(reply) == [0, 2, 4, 6, 8, 10, 12, 14]
    reply = reply_to("<action>get frame number at time 00:03</action>", grammar="frame_thinker")
    assert numbers(reply) == []
    assert "00:03 is: 30" in reply.text


def test_images_are_shrunk_by_area():
    image = torch.arange(16, dtype=torch.uint8).view(1, 4, 4).repeat(3, 1, 1)
    assert shrunk(image, 2)[0].tolist() == [[2, 4], [10, 12]], "means of 2 x 2: 2.5, 4.5, 10.5, 12.5, half to even"
    assert shrunk(image, 4) is image
    reply = reply_to(asked("FrameAt(1); VideoClip(2, 3)"), frame_side_pixels=12, clip_side_pixels=4)
    assert [tuple(image.shape) for image in reply.images][:2] == [(3, 6, 12), (3, 2, 4)]


def test_each_completion_of_a_group_is_on_a_rung_of_the_ladder():
    """Many small frames, or few large ones; single frames are of one size on all rungs."""
    environment = FrameRequests(ladder=((4, 4), (2, 8)))
    episode = Episode(make_question(), asked("VideoClip(0, 3); FrameAt(1.5)"), clip=Frames(), images_left=9)
    for completion, frames, size in (
        (0, [0, 10, 20, 30], (3, 2, 4)),
        (1, [0, 30], (3, 4, 8)),
        (2, [0, 10, 20, 30], (3, 2, 4)),
    ):
        reply = environment.respond(replace(episode, completion=completion))
        assert numbers(reply) == [*frames, 15]
        assert [tuple(image.shape) for image in reply.images] == [*[size] * len(frames), (3, 8, 16)]
    assert environment.frames_per_clip == 8


# -- what is bounded -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "count"),
    [
        ("FrameAt(4.02)", {"out_of_range": 1}),
        ("FrameAt(-1)", {"out_of_range": 1}),
        ("VideoClip(3, 1)", {"out_of_range": 1}),
        ("FrameAt(two)", {"malformed": 1}),
        ("FrameAt(1); FrameAt(1.04)", {"granted": 1, "repeated": 1}),
        ("FrameAt(1); FrameAt(2); FrameAt(3); FrameAt(4); FrameAt(0)", {"granted": 4, "too_many": 1}),
    ],
)
def test_what_is_refused_is_counted_and_answered(calls, count):
    reply = reply_to(asked(calls))
    assert counted(reply) == {"requests": calls.count(";") + 1, **count}
    assert reply.is_refused
    assert len(reply.images) == count.get("granted", 0)
    assert 0 < len(reply.text) < 400


def test_a_time_rounded_beyond_the_end_is_inside():
    assert numbers(reply_to(asked("FrameAt(4.01)"))) == [40]


def test_what_was_shown_in_an_earlier_turn_is_repeated():
    before = (Turn(asked("VideoClip(1, 2)"), "", 8),)
    assert counted(reply_to(asked("VideoClip(1, 2)"), turns=before)) == {"requests": 1, "repeated": 1}
    assert counted(reply_to(asked("VideoClip(1, 2.5)"), turns=before)) == {"requests": 1, "granted": 1}


@pytest.mark.parametrize(
    ("action", "count"),
    [
        ("3 and 20", "repeated"),
        ("4 and 19", "repeated"),
        ("2 and 21", "granted"),
        ("0 and 40", "repeated"),
        ("0 and 41", "out_of_range"),
    ],
)
def test_ranges_that_repeat_another(action, count):
    """FrameThinker: the same range, the one just within it, and the whole clip, which the first prompt shows."""
    before = (Turn("<action>choose frames between 3 and 20</action>", "", 8),)
    reply = reply_to(f"<action>choose frames between {action}</action>", turns=before, grammar="frame_thinker")
    assert counted(reply) == {"requests": 1, count: 1}


def test_no_more_images_than_are_left():
    clip = Frames()
    reply = reply_to(asked("FrameAt(1); VideoClip(2, 3); FrameAt(3.5)"), images_left=2, clip=clip)
    assert numbers(reply) == [10, 35]
    assert counted(reply) == {"requests": 3, "granted": 2, "too_many": 1}
    assert clip.asked == [[10], [35]], "what is not shown is not decoded"


def test_frames_that_cannot_be_read():
    assert counted(reply_to(asked("FrameAt(1)"), clip=Frames(can_read=False))) == {"requests": 1, "unreadable": 1}


def test_an_answer_or_neither_ends():
    assert reply_to("<answer>A</answer>" + asked("FrameAt(1)")) is None
    assert reply_to("I do not know") is None
    assert reply_to("<action>output answer: A</action>", grammar="frame_thinker") is None
    assert reply_to("<action>dance</action>", grammar="frame_thinker").counts["malformed"] == 1


def test_the_last_turn_is_announced():
    assert "last turn" in reply_to(asked("FrameAt(1)"), turns_left=1).text
    assert "last turn" not in reply_to(asked("FrameAt(1)"), turns_left=2).text


def test_instructions_state_the_bounds():
    words = FrameRequests().instructions(Episode(make_question(), clip=Frames()))
    assert "0.00 to 4.00 s" in words
    assert "FrameAt(t)" in words
    words = FrameRequests("frame_thinker").instructions(Episode(make_question(), clip=Frames()))
    assert "0 to 40" in words
    assert "00:04" in words


def test_a_prompt_without_a_clip_is_refused():
    with pytest.raises(ConfigError, match="clip"):
        FrameRequests().instructions(Episode(make_question(prompt_id="train/0/7")))


def test_the_answer_of_an_action_is_an_answer_element():
    environment = FrameRequests("frame_thinker")
    said = "<think>so</think><action>output answer: B</action>"
    assert environment.answer(said) == "<think>so</think><answer>B</answer>"
    assert environment.answer("<answer>B</answer>") == "<answer>B</answer>"
    assert FrameRequests().answer(said) == said


@pytest.mark.parametrize(
    "wrong", [{"grammar": "free"}, {"frames_per_clip": 0}, {"clip_side_pixels": 0}, {"ladder": ((0, 8),)}]
)
def test_settings_that_cannot_work(wrong):
    with pytest.raises(ConfigError, match="FrameRequests"):
        FrameRequests(**wrong)


# -- demonstrations ------------------------------------------------------------------------------------------------


def demonstration(intervals, grammar="calls", question=None):
    question = replace(question or make_question("ABB"), reference=Reference(answer="ABB", intervals=intervals))
    environment = FrameRequests(grammar)
    episode = Episode(question, clip=Frames(), turns_left=3, images_left=16)
    said = environment.demonstrate(episode)
    replies = [environment.respond(replace(episode, response=one)) for one in said]
    return question, said, replies


def test_a_demonstration_asks_for_the_annotated_stretch():
    question, said, replies = demonstration(((1.0, 9.0),))
    assert said == ["<request>VideoClip(1.00, 4.00)</request>", question.response]
    assert counted(replies[0]) == {"requests": 1, "granted": 1}
    assert replies[1] is None


@pytest.mark.parametrize(("stretch", "frames"), [((1.0, 2.5), (10, 25)), ((1.0, 1.2), (7, 16)), ((3.9, 4.0), (31, 40)),
                                                 ((0.0, 0.1), (0, 9))])  # fmt: skip
def test_a_demonstration_of_actions_passes_the_gate(stretch, frames):
    """Ranges are at least nine frames long, widened around the stretch and moved inside the clip."""
    _, said, replies = demonstration((stretch,), "frame_thinker")
    assert action_in(said[0]) == FrameRange(*frames)
    assert counted(replies[0]) == {"requests": 1, "granted": 1}
    assert action_answer(said[1]) == "ABB"


def test_without_a_stretch_the_answer_comes_at_once():
    question, said, _ = demonstration(None)
    assert said == [question.response]
    assert len(demonstration(((0.0, 4.0),), "frame_thinker")[1]) == 1, "the whole clip is shown already"


@pytest.mark.parametrize("name", ["frames_per_clip", "max_requests", "frame_side_pixels", "clip_side_pixels"])
@pytest.mark.parametrize("value", [0, 2.5, "8", None])
def test_numbers_are_whole_and_named(name, value):
    with pytest.raises(ConfigError, match=rf"FrameRequests: {name} is .*, give a whole number from 1 on"):
        FrameRequests(**{name: value})


@pytest.mark.parametrize("ladder", [((8, 2.5),), ((8, 0),), ((8,),), (8, 336), 8, "ab"])
def test_a_ladder_is_of_pairs_of_whole_numbers(ladder):
    with pytest.raises(ConfigError, match="FrameRequests: ladder"):
        FrameRequests(ladder=ladder)


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_turns", 1), ("max_turns", 2.5), ("max_images", -1), ("max_reply_characters", "x"), ("max_prompt_tokens", 0)],
)
def test_bounds_of_conversations_are_whole_and_named(name, value):
    with pytest.raises(ConfigError, match=rf"turns: {name} is .*, give a whole number"):
        TurnSettings(FrameRequests(), **{name: value})
