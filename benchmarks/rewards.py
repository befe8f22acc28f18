"""How fast completions are scored: 10,000 for each rule-based reward on one core.

Run ``python benchmarks/rewards.py``. Each reward gets completions in its own way of writing, half of them as long as a
real chain of thought. The rows of the text rewards need ``pip install 'remot[rewards]'``; without it they are left out.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import remot.rewards as r
from remot.errors import ConfigError
from remot.rewards import Reward
from remot.structures import BoxTrack, MotionLabel, Question, Reference, Slot

TARGET_SECONDS = 2.0
THOUGHT = (
    "The camera turns to the right because the shelf moves to the left between the first and second picture. " * 12
)
BOXES = str([[round(0.01 * k + 0.1 * j, 3) for j in range(4)] for k in range(8)])
MAP = '<map>{"chair": [[1, 2], [8, 8], [4, 4]], "table": [[5, 5]], "lamp": [[0, 9]], "door": [[9, 0]]}</map>'
GRAPH = json.dumps(
    {
        "nodes": {f"object {k}": [k % 3, k // 3] for k in range(8)},
        "edges": [[f"object {k}", f"object {j}", 1.5, 30] for k in range(8) for j in range(k)],
    }
)
MOTION = (
    "<obj>red car</obj><box>[0, 0, 30, 40]</box>at<t>0.1</t>s "
    "<obj>red car</obj><box>[90, 0, 120, 40]</box>at<t>1.9</t>s"
    '<motion obj="red car" dir="E" speed="fast" scale="stable"/>'
)
TEXT = "a person opens the white door with the left hand and walks into the kitchen to the table"
OPTIONS = ("right", "left", "none")
SLOTS = tuple(
    Slot(MotionLabel(pair, "camera_yaw", OPTIONS["ABC".index(gold)], 1.0, "degrees"), OPTIONS, gold)
    for pair, gold in zip(((1, 2), (1, 3), (2, 3)), "ABB", strict=True)
)
REFERENCE = Reference(
    answer="B",
    number=4.0,
    intervals=((5.0, 10.0), (20.0, 30.0)),
    boxes=((0.0, 0.1, 0.5, 0.6),) * 8,
    events=("a person opens the door", "she walks into the kitchen", "a dog barks"),
    map_centres={"chair": ((1.0, 2.0), (8.0, 7.0)), "table": ((5.0, 5.0),), "lamp": ((1.0, 8.0),)},
    graphs=({f"object {k}": (k % 3 + 0.5, k // 3 * 1.0) for k in range(8)},),
    tracks=(BoxTrack("red car", (0.0, 1.0, 2.0), ((0, 0, 30, 40), (50, 0, 80, 40), (100, 0, 130, 40))),),
    counterfactuals=(f"<think>{MOTION}</think><answer>A</answer>",),
    answer_map={"left": "right", "right": "left"},
)


def cases() -> dict[str, tuple[Reward, str, str]]:
    """For each reward what it reads: in the reasoning, and from the answer on."""
    letter = r.ExactAnswerReward("letter")
    answer = "<answer>The answer is B</answer>"
    spans = "<answer>[(5.0, 9.5), (21.25, 30)]</answer>"
    span = '<answer>{"start_time": "5.2", "end_time": "10"}</answer>'
    return {
        "TaggedFormatReward": (r.TaggedFormatReward(), "", answer),
        "TaggedFormatReward boxes": (
            r.TaggedFormatReward(content="boxes", num_items=8),
            "",
            f"<answer>{BOXES}</answer>",
        ),
        "ExactAnswerReward": (letter, "", answer),
        "NumberReward mra": (r.NumberReward(), "", "<answer>about 4.2 metres</answer>"),
        "NumberReward regression": (r.NumberReward("regression"), "", "<answer>4.2</answer>"),
        "TemporalIoUReward": (r.TemporalIoUReward(), "", "<answer>5.50 to 10.25</answer>"),
        "TemporalIoUReward json": (r.TemporalIoUReward("json"), "", span),
        "IntervalSetReward": (r.IntervalSetReward(), "", f"{answer}<glue>[(5.2, 9.5), (21.25, 30)]</glue>"),
        "TrackingReward": (r.TrackingReward(8), "", f"<answer>{BOXES}</answer>"),
        "BoxReward": (r.BoxReward(), "", "<answer>[0.1, 0.1, 0.4, 0.5]</answer>"),
        "EventRecallReward": (r.EventRecallReward(), "", f"<answer>{TEXT}. {TEXT}. A cat sleeps.</answer>"),
        "CognitiveMapReward": (r.CognitiveMapReward(letter), MAP, answer),
        "SceneGraphReward": (r.SceneGraphReward(), f"<graph>{GRAPH}</graph>", answer),
        "LocalisationReward one_to_one": (r.LocalisationReward("one_to_one"), "", spans),
        "LocalisationReward union": (r.LocalisationReward("union"), "", spans),
        "LocalisationReward matching": (r.LocalisationReward("matching"), "", spans),
        "MotionTrajectoryReward": (r.MotionTrajectoryReward(), MOTION, answer),
        "MotionPerturbationReward": (r.MotionPerturbationReward(), MOTION, answer),
        "DualityReward": (r.DualityReward(), "", "<answer>left</answer>"),
        "ViewConsistencyReward": (r.ViewConsistencyReward(require_right=False), "", "<answer>to the left</answer>"),
        "TemporalRLTReward": (r.TemporalRLTReward(), "", span),
        "ShuffledFramesReward": (r.ShuffledFramesReward(letter), "", answer),
        "LengthBonusReward": (r.LengthBonusReward(letter), "", answer),
        "CosineLengthReward": (r.CosineLengthReward(letter), "", answer),
        "RepetitionReward": (r.RepetitionReward(), "", answer),
        "ReMoTReward": (r.ReMoTReward(), "", "<answer>ABB</answer>"),
        "TextOverlapReward words": (r.TextOverlapReward("words"), "", f"<answer>{TEXT} over there</answer>"),
        "TextOverlapReward rouge": (r.TextOverlapReward("rouge"), "", f"<answer>{TEXT} over there</answer>"),
    }


def seconds_for(reward: Reward, inside: str, answer: str, num_completions: int) -> float:
    """Processor time of one call with completions that all differ, in groups of 8."""
    reference = REFERENCE
    if isinstance(reward, r.TextOverlapReward):
        reference = Reference(answer=TEXT)
    completions = [
        f"<think>{k} {THOUGHT if k % 2 else 'It moved.'}{inside}</think>{answer}" for k in range(num_completions)
    ]
    questions = [
        Question(str(k // 8), "", SLOTS, "bench", "s", task="any", reference=reference) for k in range(num_completions)
    ]
    started = time.process_time()
    output = reward(completions, questions)
    seconds = time.process_time() - started
    if output.total.isnan().any():
        msg = "the reward is not applicable to its own completions"
        raise AssertionError(msg)
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Time each reward and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-completions", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3, help="the median is reported")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    )
    print(f"{options.num_completions} completions for each reward, processor seconds, median of {options.repeats}")
    print(f"machine: {machine}\n")
    print(f"| reward | seconds | microseconds each | below {TARGET_SECONDS:g} s |\n|---|---|---|---|")
    found: dict[str, float] = {}
    for name, (reward, inside, answer) in cases().items():
        try:
            times = [seconds_for(reward, inside, answer, options.num_completions) for _ in range(options.repeats)]
        except ConfigError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
            continue
        found[name] = statistics.median(times)
        limit = TARGET_SECONDS * options.num_completions / 10_000
        each = 1e6 * found[name] / options.num_completions
        print(f"| `{name}` | {found[name]:.2f} | {each:.0f} | {'yes' if found[name] < limit else 'NO'} |", flush=True)
    if options.json is not None:
        content = {"machine": machine, "num_completions": options.num_completions, "seconds": found}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
