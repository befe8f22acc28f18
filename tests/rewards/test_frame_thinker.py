"""FrameThinker's gate and bonuses, worked by hand."""

import math
from dataclasses import replace

import pytest

from remot.environments import Episode, FrameRequests
from remot.rewards import FrameThinkerReward
from remot.structures import Question, Reference, Turn, with_turns

QUESTION = Question("q", "What is next after 01:30?", (), "d", "s", task="choice", reference=Reference(answer="B"))
ANSWER = "<think>So</think><answer>B</answer>"


def chose(first, last, thought=None):
    thought = f"between {first} and {last}" if thought is None else thought
    return Turn(f"<think>{thought}</think><action>choose frames between {first} and {last}</action>", "Frames 1.", 8)


def looked_up(frame=45, clock="01:30"):
    reply = f"The frame number at time {clock} is: {frame}."
    return Turn(f"<think>When?</think><action>get frame number at time {clock}</action>", reply)


def scored(*turns, answer=ANSWER, question=QUESTION):
    question = with_turns(question, turns) if turns else question
    output = FrameThinkerReward()([answer], [question])
    names = ("frame_thinker", "accuracy", "format", "looking")
    return tuple(round(float(output.parts[name][0]), 6) for name in names), bool(output.successes[0])


@pytest.mark.parametrize(
    ("turns", "total", "looking"),
    [
        ((), 1.0, 0.0),
        ((chose(10, 40),), 1.02, 0.02),
        ((looked_up(), chose(40, 60)), 1.52, 0.52),
        ((looked_up(0), chose(0, 20)), 1.02, 0.02),  # as released, frame 0 earns no bonus
        ((chose(10, 40), chose(20, 35), chose(22, 33)), 1.02, 0.02),
        ((looked_up(), looked_up(70, "02:20"), chose(60, 80)), 1.52, 0.52),  # the last look-up binds the range
        ((chose(10, 40, "at 01:30, so 3 or 10 to 40"),), 1.02, 0.02),  # numbers of a clock do not count
    ],
)
def test_what_passes_the_gate(turns, total, looking):
    assert scored(*turns) == ((total, 1.0, 1.0, looking), True)
    assert scored(*turns, answer=ANSWER.replace("B", "C")) == ((0.0, 0.0, 1.0, 0.0), False)


def test_a_look_up_that_was_not_called_for_earns_no_bonus():
    plain = replace(QUESTION, text="What is next?")
    assert scored(looked_up(), chose(40, 60), question=plain)[0] == (1.02, 1.0, 1.0, 0.02)


@pytest.mark.parametrize(
    "turns",
    [
        (chose(10, 40, "between 40 and 10"),),
        (chose(10, 40, "about 40"),),
        (chose(10, 40, "between 10 and 40, at 3"),),
        (chose(10, 18),),  # b - a has to be above 8
        (chose(10, 40), chose(10, 40)),
        (chose(10, 40), chose(11, 39)),  # the one just within
        (looked_up(), chose(46, 60)),  # does not hold frame 45
        (looked_up(),),  # the answer follows directly
        (looked_up(), looked_up(), chose(40, 60)),
        (replace(looked_up(), reply="?"), chose(40, 60)),
        (replace(chose(10, 40), is_refused=True),),
        (Turn("<think>10 and 40</think><action>dance</action>", ""),),
        (Turn("<action>choose frames between 10 and 40</action>", "", 8),),
    ],
)
def test_what_breaks_the_gate_earns_nothing(turns):
    assert scored(*turns) == ((0.0, 0.0, 0.0, 0.0), False)


def test_the_shortest_range():
    assert scored(chose(10, 19))[0][2] == 1.0


@pytest.mark.parametrize("answer", ["", "B", "<answer>B</answer>", "<think>So</think><answer></answer>"])
def test_an_answer_without_its_elements(answer):
    assert scored(answer=answer) == ((0.0, 0.0, 0.0, 0.0), False)


def test_the_action_itself_is_read_too():
    assert scored(answer="<think>So</think><action>output answer: B</action>")[0][0] == 1.0


def test_a_question_without_an_answer_is_left_out():
    values, success = scored(question=replace(QUESTION, reference=Reference()))
    assert all(map(math.isnan, values))
    assert not success


def test_a_conversation_with_the_environment():
    """The replies are those that the reward reads: a look-up, a range that holds its frame, an answer."""

    class Frames:
        pts_seconds = [number / 2 for number in range(201)]  # noqa: RUF012

        def read(self, frames):  # noqa: ARG002
            return []

    environment = FrameRequests("frame_thinker")
    episode = Episode(QUESTION, clip=Frames(), turns_left=3, images_left=16)
    turns = []
    for response in (looked_up().response, chose(170, 190).response, chose(0, 200).response):
        reply = environment.respond(replace(episode, response=response, turns=tuple(turns)))
        turns.append(Turn(response, reply.text, is_refused=reply.is_refused))
    assert "is: 180" in turns[0].reply, "01:30 is 90 s, two frames a second"
    last = environment.answer("<think>So</think><action>output answer: B</action>")
    assert scored(*turns[:2], answer=last)[0] == (1.52, 1.0, 1.0, 0.52)
    assert scored(*turns, answer=last)[0][0] == 0, "the whole clip was shown at first, and is refused"
