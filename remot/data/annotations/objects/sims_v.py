"""Walks through simulated houses, as SIMS-V (arXiv 2511.04668) records them in ProcTHOR.

Its generator (ellisbrown/SIMS-V 2151311) writes for each house a folder::

    spatial_metadata.json                    boxes of all things, floor area
    offline_annos__0.jsonl                   one line a frame: the agent's place, and what the image shows
    rgb__0.mp4, raw_navigation_camera__0.mp4 the video, under its present and its former name

``object_bbox`` lists boxes with ``object_id``, ``object_type``, ``centroid`` [3], ``axesLengths`` [3] full lengths and
``normalizedAxes`` [9], always along the world's axes. Lines hold ``agent`` with ``position`` and ``rotation`` (x, y and
z each) and ``objects``, in which ``pct_pixels`` of each ``object_id`` is a share of the rendered image, which is 12
pixels wider than the video. The axes are Unity's, x to the right, y up, z ahead, and left-handed: seen from above with
z up, x points to the right and angles about y run clockwise.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from remot.data.annotations.base import (
    FileReader,
    media_inside,
    numbered_lines,
    parse_json,
    read_json_object,
    require_inside,
    require_list,
    require_numbers,
    require_object,
    require_text,
)
from remot.data.annotations.cameras.poses import rigid
from remot.data.annotations.cameras.sequences import sequence_id
from remot.data.annotations.images import probed
from remot.data.annotations.native.fields import number_or_none
from remot.data.annotations.objects.layout import layout_box
from remot.data.media import VideoInfo
from remot.data.media.video.names import video_named
from remot.errors import AnnotationError, ConfigError
from remot.structures import CameraTrack, Clip, FloatArray, LayoutBox

METADATA = "spatial_metadata.json"
PREFIX = "offline_annos__"
VIDEOS = ("rgb", "raw_navigation_camera")
BOX_KEYS = ("centroid", "axesLengths", "normalizedAxes")
#: Most numbers that are held of what each frame shows of each thing.
MAX_SHARES = 50_000_000
#: Order of Unity's axes in the world's, which has z up.
TO_WORLD = [0, 2, 1]
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")


@dataclass(eq=False)
class SIMSVReader(FileReader):
    """Reads ``offline_annos__N.jsonl`` with the house and the video beside it, one clip for each walk.

    The layout holds the things that the walk shows at some time. Of each the data set states how much of every image
    it covers, so that tasks about rooms need not guess what walls hide. The agent is annotated and the camera is not:
    its mount is that of AI2-THOR's Stretch robot, and its pitch and field of view are those that SIMS-V sets before it
    changes both at random, by up to 2 and 1 degrees for each walk.

    Args:
        camera_offset_metres: Where the camera is from the agent's position: to its right, up and ahead.
        pitch_degrees: How far the camera looks down.
        vertical_fov_degrees: Field of view from top to bottom.
        ignored_types: What is no thing.
    """

    pattern: ClassVar[str] = f"{PREFIX}*.jsonl"

    camera_offset_metres: list[float] = field(default_factory=lambda: [0.00192, 0.5447, 0.06788])
    pitch_degrees: float = 27.0
    vertical_fov_degrees: float = 59.0
    ignored_types: list[str] = field(default_factory=lambda: ["Ceiling", "Floor", "Wall"])

    def __post_init__(self) -> None:
        super().__post_init__()
        is_right = len(self.camera_offset_metres) == 3 and abs(self.pitch_degrees) < 90
        if not is_right or not 0 < self.vertical_fov_degrees < 180:
            msg = (
                f"SIMSVReader: camera_offset_metres {self.camera_offset_metres}, pitch_degrees {self.pitch_degrees}, "
                f"vertical_fov_degrees {self.vertical_fov_degrees}; give 3 metres, a pitch below 90, a field below 180"
            )
            raise ConfigError(msg)

    def read_clip(self, file: Path, root: Path) -> Clip:
        """The clip of one walk."""
        number = require_inside(file, root.resolve()).stem.removeprefix(PREFIX)
        house = file.parent / METADATA
        if not house.exists():
            msg = f"{house}: does not exist; SIMS-V writes it with `sims-v qa --stages metadata`"
            raise AnnotationError(msg, reason="missing")
        lines = [_line(where, position, text) for position, (where, text) in enumerate(numbered_lines(file))]
        media = _video(file, root, number)
        video = probed(file, media, len(lines), "lines")
        layout, complete_kinds = self._layout(house, self._shares(file, lines))
        scene = sequence_id(file.parent, root)
        return Clip(
            clip_id=f"{scene}-{number}",
            scene_id=scene,
            domain="sims_v",
            media=media,
            pts_seconds=video.pts_seconds,
            camera=self._camera(lines, video),
            layout=layout,
            room_area_square_metres=number_or_none(str(house), read_json_object(house), "house_area"),
            complete_kinds=complete_kinds,
        )

    def _camera(self, lines: list["Line"], video: VideoInfo) -> CameraTrack:
        """Poses from the agent's place and yaw, with the mount of the settings."""
        yaw, pitch = np.radians([line.yaw_degrees for line in lines]), np.radians(self.pitch_degrees)
        right = np.stack([np.cos(yaw), -np.sin(yaw), 0 * yaw], axis=1)  # [N, 3], world axes
        level = np.stack([np.sin(yaw), np.cos(yaw), 0 * yaw], axis=1)
        up = np.array([0.0, 0.0, 1.0])
        ahead = np.cos(pitch) * level - np.sin(pitch) * up
        down = -np.sin(pitch) * level - np.cos(pitch) * up
        places = np.stack([line.place_metres[TO_WORLD] for line in lines])
        offset = self.camera_offset_metres
        places = places + offset[0] * right + offset[1] * up + offset[2] * level
        focal = video.height / 2 / np.tan(np.radians(self.vertical_fov_degrees) / 2)
        intrinsics = np.array([[focal, 0, video.width / 2], [0, focal, video.height / 2], [0, 0, 1]])
        return CameraTrack(rigid(np.stack([right, down, ahead], axis=2), places), intrinsics)

    def _shares(self, file: Path, lines: list["Line"]) -> dict[tuple[str, str], FloatArray]:
        """[N] share of each frame that each thing covers, by its id and type, of things that are shown at all."""
        types = {name: kind for line in lines for name, (_, kind) in line.shown.items()}
        if len(types) * len(lines) > MAX_SHARES:
            msg = f"{file}: {len(types)} things in {len(lines)} frames are more than can be held, cut the walk"
            raise AnnotationError(msg, reason="too large")
        found = {}
        for name, kind in types.items():
            if kind not in self.ignored_types:
                found[name, kind] = np.array([line.shown.get(name, (0.0, ""))[0] for line in lines])
        return {key: shares for key, shares in found.items() if shares.any()}

    def _layout(
        self, house: Path, shares: Mapping[tuple[str, str], FloatArray]
    ) -> tuple[tuple[LayoutBox, ...], tuple[str, ...]]:
        """Boxes of the things that are shown, and the kinds of which every shown thing has one."""
        listed = require_list(f"{house}: object_bbox", read_json_object(house).get("object_bbox"))
        shown = {name: share for (name, _), share in shares.items()}
        boxes: dict[str, LayoutBox] = {}
        for place, value in enumerate(listed, start=1):
            where = f"{house}: object_bbox {place}"
            content = _with(where, value, ("object_id", "object_type"))
            name, kind = require_text(where, content, "object_id"), require_text(where, content, "object_type")
            if name in boxes:
                msg = f"{where}: object_id {name!r:.80} stands twice, keep one box of it"
                raise AnnotationError(msg, reason="duplicate id")
            if name in shown and kind not in self.ignored_types:
                box = _box(where, kind_in_words(kind, name), value, shown[name])
                boxes |= {} if box is None else {name: box}
        incomplete = {kind_in_words(kind, name) for name, kind in shares if name not in boxes}
        kinds = {box.name for box in boxes.values()} - incomplete
        return tuple(boxes.values()), tuple(sorted(kinds))


@dataclass(frozen=True, eq=False)
class Line:
    """What one line says: the agent's place [3] and yaw in Unity's axes; shares and types of what is shown, by id."""

    place_metres: FloatArray
    yaw_degrees: float
    shown: Mapping[str, tuple[float, str]]


def kind_in_words(kind: str, name: str) -> str:
    """``dining table`` for ``DiningTable``; of ``Undefined``, the type of Objaverse's things, the type in their id."""
    found = name.partition("|")[0] if kind == "Undefined" else kind
    return _WORDS.sub(" ", found.removeprefix("Obja")).lower() or "thing"


def _line(where: str, position: int, text: str) -> Line:
    content = _with(where, parse_json(where, text), ("agent", "objects"))
    if content.get("idx", position) != position:
        msg = f"{where}: idx is {content['idx']!r:.40}, expected {position}; lines of two recordings may be in one file"
        raise AnnotationError(msg, reason="order")
    agent = _with(f"{where}: agent", content["agent"], ("position", "rotation"))
    position_at, rotation_at = (f"{where}: agent: {key}" for key in ("position", "rotation"))
    place = _with(position_at, agent["position"], tuple("xyz"))
    yaw = _with(rotation_at, agent["rotation"], ("y",))["y"]
    shown = {}
    for name, value in require_object(f"{where}: objects", content["objects"]).items():
        at = f"{where}: objects {name!r:.80}"
        one = _with(at, value, ("pct_pixels",))
        share = float(require_numbers(f"{at}: pct_pixels", one["pct_pixels"], shape=()))
        if not 0 <= share <= 1:
            msg = f"{at}: pct_pixels is {share:g}, expected a share from 0 to 1"
            raise AnnotationError(msg, reason="unit")
        shown[name] = share, str(one.get("object_type", "Undefined"))
    return Line(
        require_numbers(position_at, [place[axis] for axis in "xyz"], shape=(3,)),
        float(require_numbers(rotation_at, yaw, shape=())),
        shown,
    )


def _box(where: str, name: str, value: dict[str, Any], shares: FloatArray) -> LayoutBox | None:
    """The box in the world's axes, None for one without a volume."""
    content = _with(where, value, BOX_KEYS)
    lengths = require_numbers(f"{where}: axesLengths", content["axesLengths"], shape=(3,))
    if (lengths == 0).any():
        return None
    box = layout_box(where, name, {key: content[key] for key in BOX_KEYS}, BOX_KEYS)
    return LayoutBox(name, box.centre_metres[TO_WORLD], box.size_metres, box.axes[:, TO_WORLD], shares)


def _video(file: Path, root: Path, number: str) -> Path:
    found = [path for stem in VIDEOS if (path := video_named(file.parent, f"{stem}__{number}")).exists()]
    if len(found) > 1:
        msg = f"{file}: there are {found[0].name} and {found[1].name}, keep the video that belongs to it"
        raise AnnotationError(msg, reason="media")
    return media_inside(file, root, found[0].name if found else f"{VIDEOS[0]}__{number}.mp4")


def _with(where: str, value: object, keys: tuple[str, ...]) -> dict[str, Any]:
    """An object that holds ``keys``; others are not read."""
    content = require_object(where, value)
    if missing := [key for key in keys if key not in content]:
        msg = f"{where}: key {missing[0]!r} is missing, add it"
        raise AnnotationError(msg)
    return content
