"""What is printed of a prompt and its completions."""

import math

from remot.callbacks.samples import sample_text
from remot.strategies.objective import ScoredCompletions
from remot.structures import Question


def scored(completion, **rewards):
    question = Question("train/0/7", "Where does the cube go?", (), "rooms", "room-3", target="<answer>A</answer>")
    return ScoredCompletions(0, question, [completion], [rewards])


def printed(completion, **rewards):
    return sample_text(scored(completion, **rewards), 12, 4).plain.splitlines()


def test_question_solution_completion_and_parts():
    assert printed("<answer>B</answer>", format=1.0, exact=0.25, total=1.25) == [
        "",
        "— step 12, prompt train/0/7 —",
        "Where does the cube go?",
        "solution <answer>A</answer>",
        "   +1.25  <answer>B</answer>",
        "          format 1.00  exact 0.25",
    ]


def test_unused_settings_are_reported_and_a_zero_has_no_sign():
    assert printed("B", graph=math.nan, length=-0.0, short=-0.001, total=0.0)[-1] == (
        "          graph n/a  length 0.00  short 0.00"
    )


def test_line_breaks_and_length_of_a_completion_do_not_break_the_page():
    (line,) = [line for line in printed("one\n\n two " + "x" * 1000, total=-1.0) if line.startswith("   -1.00")]
    assert line.startswith("   -1.00  one two xxx")
    assert line.endswith("x …")
    assert len(line) == len("   -1.00  ") + 300 + len(" …")
