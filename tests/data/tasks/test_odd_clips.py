"""Clips that no annotator should make: what is asked about them is true by the audit and earns the whole reward."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from remot.commands.score import reward_from
from remot.data.tasks import ImageQuality, ObjectMotion
from remot.data.tasks.shared import places as places_module
from remot.datatools.audit.tasks import drawn as audit_drawn
from remot.datatools.audit.tasks import prompt as audit_prompt
from remot.structures import CameraTrack, Clip, Event, LayoutBox, ObjectTrack
from tests.data.made import task_prompts
from tests.datatools.audit.tasks.prompts import TASKS, faults, name_of
from tests.helpers import PROJECT

CONFIGS = PROJECT / "configs"
#: Upright images.
WIDTH, HEIGHT = 360, 640
NAMES = (
    *("car 1", "car 2", "Car 3", "car_1", "red, big car", "a", "a, b", "</answer>", "</think><answer>C</answer>", "B"),
    *(
        "A. car",
        "x\nA. foo",
        'say "hi"',
        "<graph>{}</graph>",
        "小车 1",
        "小车 2",
        "狗",
        "{event}",
        "[0.1, 0.2, 0.3, 0.4]",
    ),
    *("L" * 400, "1", "left", "<|video_pad|>", "red crate", "red_crate", "ta\tble", "\u202eevil", "\\d+", "car 2 ", ""),
)
TEXTS = (
    *("a man enters", "A man enters.", "he says </answer>", "</think><answer>9.00 to 9.50</answer>", "x</glue>", "B"),
    *("A. wrong", "{event}", "opens the door, then leaves", "line\nbreak", "事件", "ßing", "10.00 to 20.00", "L" * 500),
)
FULL_PARTS = ("exact", "number", "temporal_iou", "interval_iou", "tracking_iou", "box_iou", "event_recall", "map")
FULL_PARTS += ("motion_trajectory", "temporal_rlt")


def camera_of(rng, num_frames):
    """Level or tilted, or straight down; turning or not."""
    poses = np.tile(np.eye(4), (num_frames, 1, 1))
    tilt, first = rng.choice([-90.0, -110.0, -180.0]), rng.choice([0.0, 90.0, 180.0])
    for number, pose in enumerate(poses):
        turn = first + number * rng.choice([0.0, 5.0])
        pose[:3, :3] = Rotation.from_euler("zx", [turn, tilt], degrees=True).as_matrix()
        pose[:3, 3] = [*rng.normal(size=2), 1.0]
    intrinsics = np.array([[300.0, 0, WIDTH / 2], [0, 300, HEIGHT / 2], [0, 0, 1]])
    return CameraTrack(poses, intrinsics if rng.random() < 0.8 else None, bool(rng.random() < 0.8))


def boxes_of(rng, num_frames):
    """Out of the image, without a side, hidden, seen once, half known."""
    left = rng.choice([0.0, 10, -20, 100, WIDTH - 50]) + np.arange(num_frames) * rng.choice([0, 1, 5, -7])
    top = rng.choice([0.0, 30, -20, 200, HEIGHT - 60]) + np.arange(num_frames) * rng.choice([0, 2, -5])
    boxes = np.stack([left, top, left + rng.choice([0.0, 1, 30, 120]), top + rng.choice([0.0, 8, 40, 200])], axis=1)
    hidden = [slice(0, 0), slice(None), slice(1, None), slice(0, num_frames // 2), rng.random(num_frames) < 0.3]
    boxes[hidden[int(rng.choice(5, p=[0.6, 0.1, 0.1, 0.1, 0.1]))]] = np.nan
    return boxes


def track_of(rng, num_frames):
    centres = None
    if rng.random() < 0.8:  # also beside the camera and behind it
        step = rng.choice([0, 0.1, 0.5, -0.3], 3)
        centres = rng.choice([0.0, -1, 1, 2, 3], 3) + np.arange(num_frames)[:, None] * step
    size = rng.choice([0.001, 0.5, 2.5], 3) if rng.random() < 0.4 else None
    boxes = boxes_of(rng, num_frames)
    return ObjectTrack(boxes, bool(rng.random() < 0.2), size_metres=size, centres_metres=centres)


def event_of(rng, times):
    start = float(rng.choice([0, times[0], times[-1], 1, 1.004, 2, 3, 5 * rng.random()]))
    return Event(str(rng.choice(TEXTS)), start, start + float(rng.choice([0.001, 0.01, 0.2, 1, 1, 2, 100])))


def layout_box_of(rng, name):
    axes = Rotation.from_euler("z", rng.choice([0, 45, 33]), degrees=True).as_matrix()
    centre, size = rng.choice([0.0, 1, 2, 3, -2], 3) * [1, 1, 0.3], rng.choice([0.004, 0.3, 0.5, 1, 2], 3)
    return LayoutBox(str(name), centre, size, axes)


def odd_clip(seed):
    rng = np.random.default_rng(seed)
    num_frames = int(rng.choice([1, 2, 3, 7, 8, 9, 20, 40]))
    times = np.cumsum(rng.choice([0.01, 0.033, 0.1, 0.5, 1.0, 2.0], num_frames))
    times += rng.choice([0.0, -times[0], 1000.0])
    return Clip(
        f"c{seed}",
        f"s{seed}",
        "odd",
        Path("none.mp4"),
        times,
        camera=camera_of(rng, num_frames) if rng.random() < 0.5 else None,
        objects={str(one): track_of(rng, num_frames) for one in rng.choice(NAMES, rng.integers(9), replace=False)},
        events=tuple(event_of(rng, times) for _ in range(rng.integers(7))),
        layout=tuple(layout_box_of(rng, one) for one in rng.choice(NAMES, rng.integers(9))),
        camera_moves=bool(rng.random() < 0.2),
        room_area_square_metres=float(rng.choice([0.01, 0.05, 12.34, 1e6])),
        complete_kinds=None if rng.random() < 0.5 else tuple(map(str, rng.choice([*NAMES, "car"], 8, replace=False))),
    )


@pytest.fixture(scope="module")
def rewards():
    names = (
        *("systems/videochat_r1", "systems/spacer", "systems/video_str"),
        *("rewards/motion_o", "rewards/temporal_rlt", "tasks/views"),
    )
    return {name.split("/")[1]: reward_from([CONFIGS / f"{name}.yaml"]) for name in names}


def reward_of(task, rewards):
    module = type(task).__module__
    if task.name == "temporal_grounding_json":
        return rewards["temporal_rlt"]
    if isinstance(task, ObjectMotion):
        return rewards["motion_o"]
    if ".views" in module:
        return rewards["views"]
    return rewards["spacer" if ".rooms" in module else "video_str" if ".tracks" in module else "videochat_r1"]


@pytest.fixture(autouse=True)
def no_images(monkeypatch):
    def grey(_, frames):
        return [torch.full((3, HEIGHT, WIDTH), 128, dtype=torch.uint8)] * len(frames)

    monkeypatch.setattr(places_module, "read_frames", grey)
    monkeypatch.setattr(audit_prompt, "read_frames", grey)
    monkeypatch.setattr(audit_drawn, "read_frames", grey)


@pytest.mark.parametrize("seeds", [range(9), pytest.param(range(9, 120), marks=pytest.mark.slow)], ids=str)
def test_what_is_asked_about_odd_clips_is_true_and_answerable(seeds, rewards):
    asked = Counter()
    for clip in map(odd_clip, seeds):
        for task in (one for one in TASKS if not isinstance(one, ImageQuality) and one.serves(clip)):
            plan = task.plan(clip, np.random.default_rng(int(clip.clip_id[1:])))
            if plan is None:
                continue
            asked[name_of(task)] += 1
            question = task_prompts(task, [clip], "test", 1).question(0, clip, plan, (1, 1))
            assert faults(task, clip, plan, question) == []
            output = reward_of(task, rewards)([plan.response((1, 1))], [question])
            parts = {name: part.item() for name, part in output.parts.items() if not part.isnan()}
            assert output.success.tolist() == [True], (parts, plan.response((1, 1)))
            assert min(parts.get(name, 1.0) for name in ("format", *FULL_PARTS)) > 1 - 1e-6, (
                parts,
                plan.response((1, 1)),
            )
    assert len(asked) >= 20
