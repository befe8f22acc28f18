"""No reply makes a benchmark raise, take long, or score outside 0 to 1."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remot.data.records.qa_jsonl import parse_qa
from remot.evaluation.benchmarks import BENCHMARKS, benchmark_class
from remot.evaluation.benchmarks.base import ModelReply
from remot.strict_json import json_text
from tests.evaluation.benchmarks.stub import prompt_of
from tests.helpers import HOSTILE_PIECES, make_question

#: Longest time of one reply in seconds; the texts below take milliseconds.
MAX_SECONDS = 2.0
BOXES = [["4", [10, 20, 50, 80]]]


def own(**record):
    return parse_qa("f", {"images": ["a"], "question": "?"} | record, "f:1")


def facts(part):
    return {"row": 0, "part": part, "question": "?", "duration": "short", "domain": "d"}


PROMPTS = {
    "remot-bench": [prompt_of("a", gold="ABB", row=make_question("ABB"))],
    "jsonl": [
        prompt_of("a", gold=one.answer, row=one)
        for one in (
            own(options=["x", "y"], answer="A"),
            own(answer=3),
            own(answer="word"),
            own(answer="two words"),
            own(answer=[[1, 2]]),
            own(answer=[[1, 2, 3, 4]]),
        )
    ],
    "remot-16k-test": [prompt_of("a", gold="ABCABCABCABC", row={"source": "scannet", "class": ""})],
    "vsi-bench": [prompt_of("a", gold="A", row="route_planning"), prompt_of("b", gold="3", row="object_counting")],
    "sti-bench": [prompt_of("a", gold="A", row={"task": "t", "scene": "indoor"})],
    "charades-sta": [prompt_of("a", gold=[1.0, 2.0]), prompt_of("b", gold=[2.0, 2.0])],
    "nextgqa": [prompt_of("a", gold={"letter": "A", "spans": [[1.0, 2.0], [3.0, 3.0]]})],
    "v-star": [
        prompt_of("a", gold="a ball", row=facts("vqa")),
        prompt_of("b", gold=[1.0, 2.0], row=facts("temporal")),
        prompt_of("c", gold=BOXES, row=facts("spatial")),
    ],
    "mmsi-bench": [prompt_of("a", gold="A", row="x")],
    "spar-bench": [
        prompt_of(str(k), gold=gold, row=task)
        for k, (task, gold) in enumerate(
            [
                ("depth_prediction_oc", "0"),
                ("distance_prediction_oo_mv", "-1"),
                ("view_change_infer", "move_up:1"),
                ("position_matching", "B"),
            ]
        )
    ],
    "vlm2-bench": [
        prompt_of(task, gold=gold, row={"task": task, "q_id": "1", "length": 4})
        for task, gold in [("gc_mat", "T"), ("oc_cpr", "F"), ("oc_cnt", 2.0), ("pc_grp", "B) 1"), ("pc_v", "AB")]
    ],
    "got-10k": [prompt_of("a", gold=[[0.1, 0.1, 0.2, 0.2]] * 8, row={"cover": [8.0] * 7})],
}
PIECES = (
    *HOSTILE_PIECES,
    *(
        "<glue>",
        "</glue>",
        "[(1, 2)]",
        "[[0,0,1,1]]",
        '{"4": [1, 2, 3, 4]}',
        "```json",
        "```",
        "``",
        "`",
        "{",
        "}",
        "(",
    ),
    *(
        "Answer:",
        "1 to 2",
        "00:10",
        "-",
        "start",
        "hundred ",
        "million ",
        "1e999",
        "9" * 400,
        ".5",
        "^2",
        "move_up:",
        "²",
        "٣",
    ),
)
hostile = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


def check(name, text):
    """Score a reply to each prompt; the verdicts' metrics are not computed before they are asked for."""
    benchmark = benchmark_class(name)()
    verdicts = [benchmark.judged(prompt, ModelReply(text)) for prompt in PROMPTS[name]]
    for one in verdicts:
        assert all(score != score or 0 <= score <= 1 for score in one.scores.values()), one.scores
        json_text(one.parsed)
    return lambda: benchmark.metrics(verdicts)


def test_every_benchmark_is_tried():
    """Replies to spatial-narrative are captions without a score; ``test_spatial_narrative.py`` reads its reader's."""
    assert set(PROMPTS) == set(BENCHMARKS) - {"spatial-narrative"}


@pytest.mark.parametrize("name", sorted(PROMPTS))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=hostile)
def test_any_reply_is_scored(name, text):
    check(name, text)


@pytest.mark.parametrize("name", sorted(PROMPTS))
@pytest.mark.parametrize(
    "piece", ["hundred ", "(A", "{", "[", "``", "```   ", "1 - ", "A.  ", "<answer>", "move_up:1 ", "9", "one and "]
)
def test_long_replies_take_no_long_time(name, piece):
    started = time.perf_counter()
    assert check(name, piece * (200_000 // len(piece)))()
    assert time.perf_counter() - started < MAX_SECONDS
