"""One reward of each kind with the reference and a good completion it understands, for tests over all of them."""

from dataclasses import dataclass

import remot.rewards as r
from remot.rewards.base import Reward
from remot.structures import BoxTrack, Question, Reference

TRACK = BoxTrack("red car", (0.0, 1.0, 2.0), ((0, 0, 30, 40), (50, 0, 80, 40), (100, 0, 130, 40)))
FULL = Reference(
    answer="B",
    number=4.0,
    intervals=((5.0, 10.0), (20.0, 30.0)),
    boxes=((0.0, 0.0, 0.5, 0.5),) * 8,
    events=("a man opens the door", "a dog barks at him"),
    map_centres={"chair": ((1.0, 2.0), (8.0, 8.0)), "table": ((5.0, 5.0),)},
    graphs=({"chair": (0.0, 0.0), "table": (3.0, 4.0), "lamp": (0.0, 5.0)},),
    tracks=(TRACK,),
    counterfactuals=(
        '<think><motion obj="red car" dir="STAT" speed="stationary" scale="stable"/></think><answer>A</answer>',
        "<think>x</think><answer>C</answer>",
    ),
    answer_map={"A": "B", "B": "A"},
)
GRAPH = (
    '<graph>{"nodes": {"chair": [0, 0], "table": [3, 4], "lamp": [0, 5]}, "edges": [["chair", "table", 5, 53.13], '
    '["chair", "lamp", 5, 90], ["lamp", "table", 3.1623, -18.435]]}</graph>'
)
MOTION = (
    "<obj>red car</obj><box>[0, 0, 30, 40]</box>at<t>0.1</t>s then <obj>red car</obj><box>[90, 0, 120, 40]</box>"
    'at<t>1.9</t>s <motion obj="red car" dir="E" speed="fast" scale="stable"/>'
)
BOXES = str([[0, 0, 0.5, 0.5]] * 8)
MAP = '<map>{"chair": [[1, 2], [8, 8]], "table": [[5, 5]]}</map>'


def say(answer, think="it moved", more=""):
    return f"<think>{think}</think><answer>{answer}</answer>{more}"


@dataclass(frozen=True)
class Sample:
    """A reward, a completion it likes, and what that is worth."""

    reward: Reward
    good: str
    worth: float
    rule_based: bool = True


def accuracy():
    return r.ExactAnswerReward("letter")


SAMPLES = {
    "format": Sample(r.TaggedFormatReward(), say("B"), 1),
    "format_boxes": Sample(r.TaggedFormatReward(content="boxes", num_items=8), say(BOXES), 1),
    "format_glue": Sample(
        r.TaggedFormatReward(("think", "answer", "glue"), "spans"), say("B", more="<glue>[(5, 10)]</glue>"), 1
    ),
    "exact": Sample(r.ExactAnswerReward("exact"), say(" B "), 1),
    "letter": Sample(accuracy(), say("The answer is B"), 1),
    "mra": Sample(r.NumberReward("mra"), say("four metres"), 1),
    "regression": Sample(r.NumberReward("regression"), say("4"), 1 - 1e-9 / (4 + 1e-9)),
    "temporal_hull": Sample(r.TemporalIoUReward(), say("5 to 10"), 1),
    "temporal_json": Sample(r.TemporalIoUReward("json", "union"), say('{"start_time": "5", "end_time": "10"}'), 1),
    "interval_set": Sample(r.IntervalSetReward(), say("B", more="<glue>[(5, 10), (20, 30)]</glue>"), 1),
    "tracking": Sample(r.TrackingReward(8), say(BOXES), 1),
    "box": Sample(r.BoxReward(), say("[0, 0, 0.5, 0.5]"), 1),
    "event_recall": Sample(r.EventRecallReward(), say("A man opens a door. The dog barks at him."), 1),
    "cognitive_map": Sample(r.CognitiveMapReward(accuracy()), say("B", MAP), 2),
    "scene_graph": Sample(r.SceneGraphReward(), say("B", GRAPH), 2),
    "one_to_one": Sample(r.LocalisationReward("one_to_one"), say("[(5, 10), (20, 30)]"), 1),
    "union": Sample(r.LocalisationReward("union"), say("5 to 10, 20 to 30"), 1),
    "matching": Sample(r.LocalisationReward("matching"), say("[(5, 10), (20, 30)]"), 2),
    "motion_trajectory": Sample(r.MotionTrajectoryReward(), say("B", MOTION), 1),
    "motion_perturbation": Sample(r.MotionPerturbationReward(), say("B", MOTION), 0.8),
    "duality": Sample(r.DualityReward(), say("B"), 0.5),
    "view_consistency": Sample(r.ViewConsistencyReward(), say("B"), 0),
    "temporal_rlt": Sample(r.TemporalRLTReward(), say('{"start_time": "5", "end_time": "10"}'), 1),
    "temporal_rlt_letter": Sample(r.TemporalRLTReward("discrete"), say("B"), 1),
    "shuffled_frames": Sample(r.ShuffledFramesReward(accuracy()), say("B"), 0.3),
    "length_bonus": Sample(r.LengthBonusReward(accuracy(), 1, 10), say("B"), 0),
    "cosine_length": Sample(r.CosineLengthReward(accuracy(), 82), say("B"), 0.75),
    "repetition": Sample(r.RepetitionReward(), say("B", " a b c a b c "), -1 / 6),
    "gated": Sample(r.GatedReward(accuracy(), r.TaggedFormatReward()), say("B"), 1),
    "composite": Sample(r.CompositeReward([accuracy(), r.TaggedFormatReward()], [2, 1]), say("B"), 3),
    "per_task": Sample(r.PerTaskReward({"any": accuracy()}), say("B"), 1),
}


def question(reference=FULL, task="any", prompt_id="q"):
    return Question(prompt_id, "?", (), "test", "s", task=task, reference=reference)


def totals(reward, *completions, reference=FULL, task="any"):
    return reward(list(completions), [question(reference, task)] * len(completions)).total.tolist()
