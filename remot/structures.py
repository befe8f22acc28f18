"""The frozen records that travel between the layers. Each checks itself and prints its shapes, not its numbers.

Notation: N frames of a clip, P prompts, G completions of each prompt, T tokens of the longest completion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remot.errors import AnnotationError

FloatArray = NDArray[np.float64]


def _require_shape(where: str, name: str, array: FloatArray, shape: tuple[int | None, ...]) -> None:
    if array.ndim != len(shape) or any(w is not None and w != g for w, g in zip(shape, array.shape, strict=True)):
        wanted = "x".join("?" if size is None else str(size) for size in shape)
        msg = f"{where}: {name} has shape {'x'.join(map(str, array.shape))}, expected {wanted}"
        raise AnnotationError(msg)


@dataclass(frozen=True, eq=False)
class CameraTrack:
    """Poses of the camera that took a clip.

    Args:
        camera_to_world: Rigid transforms [N, 4, 4], OpenCV axes (x right, y down, z forward), metres.
        intrinsics: Pinhole matrix [3, 3] in pixels of the clip's pictures, or None if unknown.
    """

    camera_to_world: FloatArray
    intrinsics: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class EffectorTrack:
    """A hand, gripper or tool.

    Args:
        positions: [N, 3] metres in viewer axes: x to the viewer's right, y down, z away from the viewer.
        opening: [N] from 0 (closed) to 1 (open), or None if it has no gripper.
    """

    positions: FloatArray
    opening: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class ObjectTrack:
    """An object followed through the pictures.

    Args:
        boxes_xyxy: [N, 4] pixels, NaN where the object is not visible.
        is_landmark: True if the object stands still in the world, so that its box moves with the camera only.
    """

    boxes_xyxy: FloatArray
    is_landmark: bool = False


@dataclass(frozen=True, eq=False)
class Clip:
    """One annotated clip. Everything but the pictures themselves.

    Args:
        clip_id: Unique name.
        scene_id: Clips of one scene never fall into different splits.
        domain: Where it comes from, such as ``manipulation`` or ``re10k``; used in reports.
        media: Video file, or folder of images in name order.
        pts_seconds: [N] strictly increasing presentation times of the annotated frames.
        camera: Camera poses, if known.
        effectors: Hands by name.
        objects: Objects by name.
        media_pts_seconds: [N] times at which the frames lie in ``media`` where they differ from ``pts_seconds``
            (RealEstate10K: true times differ from the mp4's); None if they are the same.
    """

    clip_id: str
    scene_id: str
    domain: str
    media: Path
    pts_seconds: FloatArray
    camera: CameraTrack | None = None
    effectors: Mapping[str, EffectorTrack] = field(default_factory=dict)
    objects: Mapping[str, ObjectTrack] = field(default_factory=dict)
    media_pts_seconds: FloatArray | None = None

    def __post_init__(self) -> None:
        where, n = f"clip {self.clip_id}", self.num_frames
        _require_shape(where, "pts_seconds", self.pts_seconds, (None,))
        if n < 1 or not np.all(np.isfinite(self.pts_seconds)) or np.any(np.diff(self.pts_seconds) <= 0):
            msg = f"{where}: pts_seconds must hold at least one time, all finite and strictly increasing"
            raise AnnotationError(msg)
        if self.media_pts_seconds is not None:
            _require_shape(where, "media_pts_seconds", self.media_pts_seconds, (n,))
        if self.camera is not None:
            _require_shape(where, "camera_to_world", self.camera.camera_to_world, (n, 4, 4))
            _require_rigid(where, self.camera.camera_to_world)
        for name, effector in self.effectors.items():
            _require_shape(where, f"effector {name} positions", effector.positions, (n, 3))
            if effector.opening is not None:
                _require_shape(where, f"effector {name} opening", effector.opening, (n,))
        for name, track in self.objects.items():
            _require_shape(where, f"object {name} boxes_xyxy", track.boxes_xyxy, (n, 4))

    @property
    def num_frames(self) -> int:
        """Number of annotated frames N."""
        return len(self.pts_seconds)

    @property
    def frame_times_in_media(self) -> FloatArray:
        """[N] seconds at which to look the frames up in ``media``."""
        return self.pts_seconds if self.media_pts_seconds is None else self.media_pts_seconds

    def __repr__(self) -> str:
        return f"Clip({self.clip_id!r}, domain={self.domain!r}, num_frames={self.num_frames})"


def _require_rigid(where: str, camera_to_world: FloatArray, tolerance: float = 1e-3) -> None:
    finite = np.asarray(np.isfinite(camera_to_world).all(axis=(1, 2)))
    poses = np.where(finite[:, None, None], camera_to_world, np.eye(4))
    rotation = poses[:, :3, :3]
    gap = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    last_row = np.abs(poses[:, 3] - np.array([0.0, 0.0, 0.0, 1.0])).max(axis=1)
    flipped = np.asarray(np.linalg.det(rotation) < 0)
    bad = ~finite | (gap > tolerance) | (last_row > tolerance) | flipped
    if bad.any():
        frame = int(np.flatnonzero(bad)[0])
        msg = f"{where}: the camera pose of frame {frame} is not a rigid motion (NaN, scale, flip or last row)"
        raise AnnotationError(msg)


@dataclass(frozen=True)
class MotionLabel:
    """What an annotation says happened between two frames.

    Args:
        pair: 1-based picture numbers, such as (1, 2).
        attribute: A key of :data:`remot.motion.ATTRIBUTES`.
        value: One of the attribute's values.
        magnitude: Unsigned size of the motion.
        unit: Unit of ``magnitude``.
        subject: The arm or object that moved, "" for the camera.
    """

    pair: tuple[int, int]
    attribute: str
    value: str
    magnitude: float
    unit: str
    subject: str = ""


@dataclass(frozen=True, eq=False)
class Triplet:
    """Anchor, positive and negative frame of one clip with the labels of all three pairs.

    Args:
        clip: The source.
        frame_indices: Three different annotated frames, in the order the pictures are shown.
        labels: One label for each of :data:`remot.motion.PAIRS`.
        negative: How the negative was made, such as ``retrieval``.
    """

    clip: Clip
    frame_indices: tuple[int, int, int]
    labels: tuple[MotionLabel, MotionLabel, MotionLabel]
    negative: str = "retrieval"


@dataclass(frozen=True)
class Slot:
    """One multiple-choice question of a prompt.

    Args:
        label: The truth behind it.
        options: Values in the order of their letters.
        gold: The right letter.
    """

    label: MotionLabel
    options: tuple[str, ...]
    gold: str


@dataclass(frozen=True)
class Question:
    """The text of a prompt and everything needed to judge an answer to it.

    Args:
        prompt_id: Unique and stable; addresses the rollout noise.
        text: What the user says after the pictures.
        slots: The questions asked, in the order of the answer's letters.
        domain: Domain of the clip, for reports.
        scene_id: Scene of the clip, for intervals that respect that prompts of one scene are alike.
        reasoning: Reasoning that leads to the answer, told from the annotations; "" if they do not tell it.
    """

    prompt_id: str
    text: str
    slots: tuple[Slot, ...]
    domain: str
    scene_id: str
    reasoning: str = ""

    @property
    def solution(self) -> str:
        """The right letters in order."""
        return "".join(slot.gold for slot in self.slots)


class PromptBatch:
    """P prompts: pictures and questions.

    Not a dataclass, so that Lightning passes it on whole instead of converting what is in it.

    Args:
        images: For each prompt its pictures, uint8 tensors [3, H, W] on the CPU.
        questions: One question per prompt.
        clip_ids: Source clip of each prompt.
    """

    def __init__(
        self, images: Sequence[Sequence[Tensor]], questions: Sequence[Question], clip_ids: Sequence[str]
    ) -> None:
        if not len(images) == len(questions) == len(clip_ids):
            msg = f"{len(images)} image lists, {len(questions)} questions, {len(clip_ids)} clip ids"
            raise ValueError(msg)
        self.images = images
        self.questions = questions
        self.clip_ids = clip_ids

    def __len__(self) -> int:
        return len(self.questions)

    def __repr__(self) -> str:
        return f"PromptBatch(num_prompts={len(self)})"


@dataclass(frozen=True, eq=False)
class Rollout:
    """G completions for each of P prompts.

    Args:
        token_ids: [P, G, T] int64, end-of-turn token included, padded.
        completion_mask: [P, G, T] bool, True where the token is part of the completion.
        logprobs: [P, G, T] float32 log-probabilities the sampler drew them with, 0 where masked.
        texts: Decoded completions without special tokens, [P][G].
        finished: [P, G] bool, True if the completion ended by itself.
    """

    token_ids: Tensor
    completion_mask: Tensor
    logprobs: Tensor
    texts: Sequence[Sequence[str]]
    finished: Tensor

    def __post_init__(self) -> None:
        if not self.token_ids.shape == self.completion_mask.shape == self.logprobs.shape or self.token_ids.ndim != 3:
            msg = f"rollout shapes differ: {self.token_ids.shape}, {self.completion_mask.shape}, {self.logprobs.shape}"
            raise ValueError(msg)

    @property
    def num_tokens(self) -> Tensor:
        """[P, G] length of each completion."""
        return self.completion_mask.sum(-1)

    def __repr__(self) -> str:
        return f"Rollout(shape={tuple(self.token_ids.shape)})"


@dataclass(frozen=True, eq=False)
class RewardOutput:
    """Scores of a flat list of completions.

    Args:
        total: [B] float32, the number the advantage is computed from.
        parts: Named [B] float32 components, each logged as a metric; NaN marks "not applicable".
        success: [B] bool, True where the answer is right altogether.
    """

    total: Tensor
    parts: Mapping[str, Tensor]
    success: Tensor

    def __post_init__(self) -> None:
        for name, part in {"success": self.success, **self.parts}.items():
            if part.shape != self.total.shape:
                msg = f"reward part {name} has shape {tuple(part.shape)}, the total {tuple(self.total.shape)}"
                raise ValueError(msg)


@dataclass(frozen=True, eq=False)
class LossOutput:
    """A scalar loss with gradient and detached numbers to log."""

    loss: Tensor
    metrics: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.loss.ndim != 0 or not torch.is_floating_point(self.loss):
            msg = f"a loss is a floating-point scalar, this one has shape {tuple(self.loss.shape)}"
            raise ValueError(msg)
