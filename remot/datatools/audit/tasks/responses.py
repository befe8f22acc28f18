"""Whether the response that SFT trains on agrees with the reference."""

import cmath
import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from remot.data.tasks.shared.worded import TaskWordings
from remot.datatools.audit.tasks.prompt import AskedPrompt, readings
from remot.strict_json import json_object
from remot.structures import Point

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
#: Half of the last digit of what is written with three decimals, with two, and with one.
THREE, TWO, ONE = 0.0005 + 1e-6, 0.005 + 1e-6, 0.05 + 1e-6


def wrong_responses(asked: AskedPrompt) -> Iterator[str]:
    """What is wrong with frames, times and response of a prompt, one clause each."""
    shown = asked.frames
    in_order = all(earlier < later for earlier, later in pairwise(shown))
    if not shown or not in_order or not 0 <= shown[0] <= shown[-1] < asked.clip.num_frames:
        yield f"the frames {shown} are not in order or not of the clip"
        return
    yield from _wrong_times(asked)
    if asked.question.target:
        yield from _wrong_answer(asked)
        cells = asked.reference.map_centres
        drawn = re.findall(r"<map>(.*?)</map>", asked.question.target, flags=re.DOTALL)
        wanted = [] if cells is None else [{name: [list(point) for point in points] for name, points in cells.items()}]
        if [json_object(one) for one in drawn] != wanted:
            yield "the map of the response is not that of the reference"
        yield from _wrong_graphs(asked)


def _wrong_times(asked: AskedPrompt) -> Iterator[str]:
    """Images have their times in the text, a video has them itself."""
    wordings = getattr(asked.task, "shared", None)
    if asked.as_video or len(asked.frames) < 2 or not isinstance(wordings, TaskWordings):
        return
    stated = readings(asked.question.text, wordings.texts["times"], {"times": r"[\d., ]+"})
    times = [float(asked.clip.pts_seconds[frame]) for frame in asked.frames]
    if len(stated) != 1 or not _close([float(one) for one in stated[0]["times"].split(", ")], times, ONE):
        yield "the text does not state the times of the images"


def _wrong_answer(asked: AskedPrompt) -> Iterator[str]:
    reference, target = asked.reference, asked.question.target
    found = (re.search(rf"<{tag}>(.*?)</{tag}>", target, flags=re.DOTALL) for tag in ("answer", "glue"))
    answer, glue = (None if match is None else match[1] for match in found)
    where = answer if glue is None else glue
    if answer is None or where is None:
        yield "the response holds no answer"
        return
    if reference.answer is not None and answer != reference.answer:
        yield f"the response answers {answer!r:.60}, the reference says {reference.answer!r:.60}"
    numbers = [float(one) for one in _NUMBER.findall(where)]
    if reference.number is not None and [float(one) for one in _NUMBER.findall(answer)] != [reference.number]:
        yield f"the response answers {answer!r:.60}, the reference says {reference.number:g}"
    if reference.intervals is not None and not _close(numbers, reference.intervals, TWO):
        yield f"the response has the times {where!r:.60}, the reference {reference.intervals}"
    if reference.boxes is not None and not _close(numbers, reference.boxes, THREE):
        yield f"the response has the boxes {where!r:.60}, the reference {reference.boxes}"
    if reference.events is not None and any(one.lower() not in answer.lower() for one in reference.events):
        yield "the response leaves out an event of the reference"


def _wrong_graphs(asked: AskedPrompt) -> Iterator[str]:
    graphs = asked.reference.graphs or ()
    drawn = [json_object(one) for one in re.findall(r"<graph>(.*?)</graph>", asked.question.target, flags=re.DOTALL)]
    if [one.get("nodes") for one in drawn] != [{name: list(at) for name, at in nodes.items()} for nodes in graphs]:
        yield "the graphs of the response are not those of the reference"
    elif any(not _edges_fit(one.get("edges"), nodes) for one, nodes in zip(drawn, graphs, strict=True)):
        yield "an edge of a graph of the response is not what its nodes say"


def _edges_fit(edges: object, nodes: Mapping[str, Point]) -> bool:
    """Whether there is one edge for each two nodes, with their distance and its direction, in the complex plane."""
    if not isinstance(edges, list) or len(edges) != len(nodes) * (len(nodes) - 1) // 2:
        return False
    for start, end, metres, degrees in edges:
        way = complex(*nodes[end]) - complex(*nodes[start])
        if abs(abs(way) - metres) > TWO:
            return False
        if way and abs(cmath.phase(way / cmath.rect(1, math.radians(degrees)))) > math.radians(TWO):
            return False
    return len({frozenset(edge[:2]) for edge in edges}) == len(edges)


def _close(one: object, other: object, tolerance: float) -> bool:
    first, second = np.ravel(np.asarray(one, dtype=float)), np.ravel(np.asarray(other, dtype=float))
    return first.shape == second.shape and bool((np.abs(first - second) <= tolerance).all())
