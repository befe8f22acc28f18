"""Prompts of the embedded clips for the audit, and faults to plant in them."""

import json
import re
from dataclasses import replace

from remot.data.tasks import (
    AbsoluteDistance,
    AppearanceOrder,
    BoxLocalisation,
    CameraMovement,
    DepthOrder,
    Detection,
    Displacement,
    EventCaption,
    EventChoice,
    GroundedEventChoice,
    ImageGroundedChoice,
    ImageQuality,
    MotionDirection,
    ObjectCounting,
    ObjectMotion,
    ObjectSize,
    ObjectTracking,
    PointCorrespondence,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    TemporalGrounding,
    TemporalGroundingJson,
    TemporalGroundingSpans,
    TimeInView,
    TrackCounting,
    TrackDirection,
    TrackDistance,
    TrackNearest,
    TrackOrder,
    TrackSize,
)
from remot.datatools.audit.tasks.checks import wrong_references
from remot.datatools.audit.tasks.prompt import AskedPrompt
from tests.data.made import task_prompts

TASKS = [
    TemporalGrounding(),
    TemporalGroundingJson(),
    TemporalGroundingSpans(),
    EventChoice(),
    GroundedEventChoice(),
    EventCaption(),
    ObjectTracking(),
    Detection(),
    ImageGroundedChoice(),
    *(ImageQuality(ask=ask) for ask in ("kind", "blur", "noise", "dark")),
    ObjectMotion(),
    ObjectCounting(),
    ObjectSize(),
    RoomSize(),
    AbsoluteDistance(),
    RelativeDistance(),
    *(RelativeDirection(difficulty) for difficulty in ("easy", "medium", "hard")),
    AppearanceOrder(),
    TrackCounting(),
    TrackDirection(),
    TrackDistance(),
    TrackNearest(),
    MotionDirection(),
    Displacement(),
    TrackOrder(),
    TimeInView(),
    BoxLocalisation(),
    TrackSize(),
    DepthOrder(),
    CameraMovement(),
    PointCorrespondence(),
    PointCorrespondence(points="surfaces"),
    DepthOrder(refer="drawn_boxes"),
    TrackNearest(refer="boxes"),
    MotionDirection(refer="drawn_boxes"),
    BoxLocalisation(refer="drawn_boxes"),
    TrackDistance(refer="boxes"),
]


def name_of(task):
    settings = [getattr(task, name, "") for name in ("ask", "points", "refer") if getattr(task, name, "") != "names"]
    return "-".join([task.name, *filter(None, settings)])


def planned(task, clips, num_prompts):
    """Clip, plan and question of prompts about clips."""
    dataset = task_prompts(task, clips, "audit", num_prompts)
    for address in range(num_prompts):
        clip, plan = dataset.plan(address)
        yield clip, plan, dataset.question(address, clip, plan, (1, 1))


def faults(task, clip, plan, question, **settings):
    asked = AskedPrompt(clip, plan.frame_indices, question, task, plan.as_video, plan.frame_transforms, **settings)
    return wrong_references(asked)


def lied(plan, question, **changes):
    """A prompt with a wrong answer throughout: in its reference and in its response."""
    told = changes.pop("answer", plan.answer)
    plan = replace(plan, reference=replace(plan.reference, **changes), answer=told)
    return plan, replace(question, reference=plan.reference, target=plan.response((1, 1)))


def wrong_label(plan, question):
    """The first thing of a reference that there is, made wrong, with the response to match."""
    reference = plan.reference
    options = re.findall(r"^([A-Z])\. ", plan.text, flags=re.MULTILINE)
    if options:
        other = options[(options.index(plan.answer) + 1) % len(options)]
        return _with_answer(plan, question, other)
    if reference.number is not None:
        return _with_answer(plan, question, f"{reference.number + 1:g}", number=reference.number + 1)
    if reference.intervals is not None:
        return _shifted_times(plan, question)
    if reference.boxes is not None:
        return _shifted_boxes(plan, question)
    if reference.tracks is not None:
        return _with_answer(plan, question, "S" if plan.answer == "N" else "N")
    if reference.events is not None:
        events = reference.events[::-1] if len(reference.events) > 1 else (*reference.events, "a dog barks")
        return lied(plan, question, answer=". ".join(events), events=events)
    (words,) = (found.split(", ") for found in re.findall(r"(?:words|best)\S* ([a-z, ]+)[.?]", plan.text))
    return _with_answer(plan, question, words[(words.index(plan.answer) + 1) % len(words)])


def _with_answer(plan, question, answer, **changes):
    if plan.reference.answer is not None:
        changes["answer_text"] = answer
    reference_changes = {("answer" if key == "answer_text" else key): value for key, value in changes.items()}
    reference = replace(plan.reference, **reference_changes)
    plan = replace(plan, reference=reference, answer=answer)
    return plan, replace(question, reference=reference, target=plan.response((1, 1)))


def _shifted_times(plan, question, by=0.5):
    intervals = tuple((round(start + by, 2), round(end + by, 2)) for start, end in plan.reference.intervals)
    listed = ", ".join(f"({start:.2f}, {end:.2f})" for start, end in intervals)
    answer = f"[{listed}]" if plan.answer.startswith("[") else f"{intervals[0][0]:.2f} to {intervals[0][1]:.2f}"
    return _with_answer(plan, question, answer, intervals=intervals)


def _shifted_boxes(plan, question, by=0.004):
    boxes = tuple((left, top, round(right - by, 3), bottom) for left, top, right, bottom in plan.reference.boxes)
    answer = json.dumps([list(box) for box in boxes])
    return _with_answer(plan, question, answer, boxes=boxes)
