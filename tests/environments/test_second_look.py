"""A second look at what the first answer names."""

from dataclasses import replace

import pytest

from remot.environments import Episode, SecondLook
from remot.errors import ConfigError
from remot.structures import Turn
from tests.environments.test_frame_requests import Frames, numbers
from tests.helpers import make_question

GROUNDED = replace(make_question(), key_times="glue")


def reply_to(response, question=GROUNDED, *, turns=(), images_left=16, clip=None, **settings):
    episode = Episode(question, response, turns, (), clip or Frames(), 1, images_left)
    return SecondLook(**settings).respond(episode)


def test_frames_of_the_stretches_are_shown():
    """Frames 10 to 14 and 20 to 22; four evenly among the eight are the places 0, 2.33, 4.67, 7."""
    answer = "<answer>A</answer><glue>[(1.0, 1.4), (2.0, 2.2)]</glue>"
    assert numbers(reply_to(answer)) == [10, 11, 12, 13, 14, 20, 21, 22]
    reply = reply_to(answer, num_frames=4)
    assert numbers(reply) == [10, 12, 20, 22]
    assert "1.00, 1.20, 2.00, 2.20 s" in reply.text
    assert reply.counts == {"looks": 1}
    assert numbers(reply_to(answer, images_left=1)) == [10]
    thirds = Frames([number / 3 for number in range(13)])
    assert numbers(reply_to("<glue>[(0.33, 0.66)]</glue>", clip=thirds)) == [1], "0.667 s is written 0.67"


@pytest.mark.parametrize(
    "response",
    [
        "<answer>A</answer>",
        "<glue>[(9.0, 12.0)]</glue>",  # after the clip
        "<glue>[(1.02, 1.08)]</glue>",  # between two frames
        "<glue>[(1.0, 1.1), (1.2, 1.3), (2.0, 2.1), (3.0, 3.1)]</glue>",
        "<glue>" + "[(" * 50_000,
    ],
)
def test_answers_without_a_look(response):
    assert reply_to(response) is None


def test_there_is_one_look_and_only_where_answers_name_times():
    answer = "<glue>[(1.0, 1.4)]</glue>"
    assert reply_to(answer, turns=(Turn(answer, "", 5),)) is None
    assert reply_to(answer, make_question()) is None
    assert reply_to(answer, images_left=0) is None


@pytest.mark.parametrize(
    ("question", "times"),
    [
        (replace(GROUNDED, target="<answer>A</answer><glue>[(1.0, 1.4)]</glue>"), 2),
        (replace(GROUNDED, target="<answer>A</answer><glue>[(9.0, 12.0)]</glue>"), 1),
        (make_question(), 1),
    ],
)
def test_the_right_response_is_given_again_after_a_look(question, times):
    """As SFT learns it: who has seen one turn alone cannot take a second one."""
    assert SecondLook().demonstrate(Episode(question, clip=Frames(), images_left=4)) == [question.response] * times


def test_frames_that_cannot_be_read_are_counted_and_demonstrated_like_others():
    """A clip that is skipped ends no run, and no demonstration of its turns."""
    clip, answer = Frames(can_read=False), "<answer>A</answer><glue>[(1.0, 1.4)]</glue>"
    reply = reply_to(answer, clip=clip)
    assert (reply.counts, reply.is_refused, len(reply.images)) == ({"unreadable": 1}, True, 0)
    episode = Episode(replace(GROUNDED, target=answer), clip=clip, images_left=4)
    assert SecondLook().demonstrate(episode) == [answer, answer]


def test_prompts_that_could_never_be_shown_more_are_refused():
    """Finished prompts from disk have no clip."""
    assert SecondLook().instructions(Episode(GROUNDED, clip=Frames(), images_left=4)) == ""
    assert SecondLook().instructions(Episode(make_question())) == ""
    with pytest.raises(ConfigError, match=r"SecondLook shows frames of clips.*data\.root"):
        SecondLook().instructions(Episode(GROUNDED, images_left=4))
    with pytest.raises(ConfigError, match="max_images"):
        SecondLook().instructions(Episode(GROUNDED, clip=Frames()))


def test_settings_that_cannot_work():
    with pytest.raises(ConfigError, match="SecondLook"):
        SecondLook(num_frames=0)


@pytest.mark.parametrize("name", ["num_frames", "max_stretches", "side_pixels"])
@pytest.mark.parametrize("value", [0, 2.5, "8", None, True])
def test_numbers_are_whole_and_named(name, value):
    with pytest.raises(ConfigError, match=rf"SecondLook: {name} is .*, give a whole number from 1 on"):
        SecondLook(**{name: value})
