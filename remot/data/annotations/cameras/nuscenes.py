"""Drives in the tables of nuScenes (https://www.nuscenes.org/nuscenes#data-format), and of sets that copy them.

The source's conventions, as its authors state them: ``v1.0-*/`` holds lists of objects that refer to each other by
token. ``ego_pose`` takes the car's axes (x forward, y left, z up) to a map's (x east, y north, z up),
``calibrated_sensor`` a camera's axes, OpenCV's (x right, y down, z forward), to the car's; both are a translation in
metres and a quaternion with its real part first. Times are in microseconds. ``sample_data`` holds every image, of
which key frames, two a second, are annotated.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from remot.data.annotations.base import ClipSource, require_any, require_numbers, require_text
from remot.data.annotations.cameras.poses import headings_degrees, is_unit, rigid, rotations_from, w_last
from remot.data.annotations.cameras.sequences import SequenceReader
from remot.data.annotations.parsing.json_rows import json_rows
from remot.errors import AnnotationError
from remot.files import find_files
from remot.structures import AgentTrack, CameraTrack, Clip, FloatArray

MICROSECONDS = 1e-6
MAX_TABLE_BYTES = 2 * 2**30
Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class _Image:
    """What is needed of an image: microseconds, path below the root of the set, and two tokens."""

    microseconds: int
    name: str
    ego: str
    calibration: str


@dataclass(frozen=True)
class _Tables:
    """What is kept of the tables for one channel.

    Args:
        places: For each scene's name, where it was recorded.
        images: For each scene's name its images in order of time.
        egos: Poses [4, 4] of the car by token.
        calibrations: Rows of the channel's cameras by token.
        declared: For each scene's name how many annotated moments it says it has, where it does.
    """

    places: Mapping[str, str]
    images: Mapping[str, list[_Image]]
    egos: Mapping[str, FloatArray]
    calibrations: Mapping[str, Row]
    declared: Mapping[str, int]


@dataclass(eq=False)
class NuScenesReader(SequenceReader):
    """Reads one clip for each scene of the tables in ``v1.0-*`` and one camera.

    See the module for the source's conventions. The camera's pose is the car's pose times the camera's in the car.
    The clip has an agent, the car seen from above: its place on the map, and where its x axis points. The scene is
    called by place and name, such as ``singapore-onenorth/scene-0061``.

    Args:
        channel: Which camera, such as ``CAM_FRONT`` or ``CAM_BACK_LEFT``.
        keyframes_only: Take the two annotated images a second; False takes all twelve, which are downloaded apart.
        max_table_bytes: Longest table that is read. Tables are read one object at a time, and only what belongs to the
            channel is kept.
    """

    channel: str = "CAM_FRONT"
    keyframes_only: bool = True
    max_table_bytes: int = MAX_TABLE_BYTES
    _tables: dict[Path, _Tables] = field(default_factory=dict, init=False, repr=False)

    def sequences(self, root: Path) -> list[ClipSource]:
        """The scenes of every folder of tables."""
        folders = sorted(file.parent for file in find_files(root, "v1.0-*/scene.json"))
        require_any(folders, root, "v1.0-*/scene.json", "the tables and samples")
        self._tables = {folder: self._read(folder) for folder in folders}
        return [ClipSource(folder, name) for folder in folders for name in sorted(self._tables[folder].images)]

    def read_sequence(self, sequence: ClipSource, root: Path) -> Clip:
        """One scene."""
        folder, name = sequence.file, sequence.key
        if folder not in self._tables:
            self._tables[folder] = self._read(folder)
        tables = self._tables[folder]
        images = tables.images[name]
        if self.keyframes_only and tables.declared.get(name, len(images)) != len(images):
            msg = (
                f"{folder / 'scene.json'}: {name} declares nbr_samples {tables.declared[name]!r:.20}, there are "
                f"{len(images)} images of {self.channel}; fetch all tables of one version"
            )
            raise AnnotationError(msg, reason="unsynchronised")
        media, kept = self.listed_images(
            folder / "sample_data.json", folder.parent, root, [image.name for image in images]
        )
        images = [images[k] for k in kept]
        egos = np.stack([_look_up(tables.egos, image.ego, folder / "ego_pose.json") for image in images])
        cameras = [
            _look_up(tables.calibrations, image.calibration, folder / "calibrated_sensor.json") for image in images
        ]
        where = str(folder / "calibrated_sensor.json")
        mounted = np.stack([_pose(where, camera) for camera in cameras])
        held = cameras[0].get("camera_intrinsic")  # a scene has one camera for a channel
        intrinsics = require_numbers(f"{where}: camera_intrinsic", held, shape=(3, 3)) if held else None
        microseconds = np.array([image.microseconds - images[0].microseconds for image in images], dtype=float)
        return Clip(
            clip_id=f"{name}-{self.channel}",
            scene_id=f"{tables.places[name]}/{name}",
            domain="nuscenes",
            media=media,
            pts_seconds=microseconds * MICROSECONDS,
            camera=CameraTrack(egos @ mounted, intrinsics),
            agent=AgentTrack(egos[:, :2, 3], headings_degrees(egos[:, :2, 0])),
        )

    def _read(self, folder: Path) -> _Tables:
        names = ("log", "scene", "sensor", "calibrated_sensor", "ego_pose")
        rows = {name: json_rows(folder / f"{name}.json", self.max_table_bytes) for name in names}  # read on demand
        places = {_text(folder, "log", row, "token"): _text(folder, "log", row, "location") for row in rows["log"]}
        scenes = {_text(folder, "scene", row, "token"): row for row in rows["scene"]}
        scene_names = {token: _text(folder, "scene", row, "name") for token, row in scenes.items()}
        calibrations = self._calibrations(folder, rows["sensor"], rows["calibrated_sensor"])
        images = self._images(folder, scene_names, calibrations)
        wanted, egos = {image.ego for found in images.values() for image in found}, folder / "ego_pose.json"
        return _Tables(
            {
                scene_names[token]: _look_up(places, _text(folder, "scene", row, "log_token"), folder / "log.json")
                for token, row in scenes.items()
            },
            images,
            {row["token"]: _pose(str(egos), row) for row in rows["ego_pose"] if row.get("token") in wanted},
            calibrations,
            {scene_names[token]: row["nbr_samples"] for token, row in scenes.items() if "nbr_samples" in row},
        )

    def _calibrations(self, folder: Path, sensors: Iterable[Row], calibrated: Iterable[Row]) -> dict[str, Row]:
        channels = {_text(folder, "sensor", row, "token"): _text(folder, "sensor", row, "channel") for row in sensors}
        where = "calibrated_sensor"
        found = {
            _text(folder, where, row, "token"): row
            for row in calibrated
            if channels.get(_text(folder, where, row, "sensor_token")) == self.channel
        }
        if not found:
            msg = f"{folder}: there is no channel {self.channel!r:.40}, choose one of {sorted(set(channels.values()))}"
            raise AnnotationError(msg, reason="missing")
        return found

    def _images(
        self, folder: Path, scene_names: Mapping[str, str], calibrations: Mapping[str, Row]
    ) -> dict[str, list[_Image]]:
        scene_of = {
            _text(folder, "sample", row, "token"): _text(folder, "sample", row, "scene_token")
            for row in json_rows(folder / "sample.json", self.max_table_bytes)
        }
        table, found = "sample_data", defaultdict(list)
        for row in json_rows(folder / f"{table}.json", self.max_table_bytes):
            calibration = _text(folder, table, row, "calibrated_sensor_token")
            if calibration in calibrations and (row.get("is_key_frame") is True or not self.keyframes_only):
                scene = _look_up(scene_of, _text(folder, table, row, "sample_token"), folder / "sample.json")
                name = _look_up(scene_names, scene, folder / "scene.json")
                time = row.get("timestamp")
                if not isinstance(time, int) or isinstance(time, bool) or not 0 <= time < 2**63:
                    msg = f"{folder / table}.json: timestamp {time!r:.40} is no whole number of microseconds"
                    raise AnnotationError(msg, reason="times")
                path, ego = _text(folder, table, row, "filename"), _text(folder, table, row, "ego_pose_token")
                found[name].append(_Image(time, path, ego, calibration))
        return {name: sorted(images, key=lambda image: image.microseconds) for name, images in found.items()}


def _text(folder: Path, table: str, row: Row, key: str) -> str:
    where = str(folder / f"{table}.json")
    if key not in row:
        msg = f"{where}: an object has no {key!r}, it has {', '.join(map(repr, row))[:80]}"
        raise AnnotationError(msg)
    return require_text(where, row, key)


def _look_up(table: Mapping[str, T], token: str, file: Path) -> T:
    if token not in table:
        msg = f"{file}: there is no object with the token {token!r:.60}, fetch all tables of one version"
        raise AnnotationError(msg, reason="missing")
    return table[token]


def _pose(where: str, row: Row) -> FloatArray:
    """[4, 4] of a row's translation and quaternion."""
    name = f"{where}: {row.get('token')!r:.60}"
    place = require_numbers(f"{name}: translation", row.get("translation"), shape=(3,))
    turn = require_numbers(f"{name}: rotation", row.get("rotation"), shape=(4,))
    if not is_unit(turn):
        msg = f"{name}: needs a rotation that is a quaternion of length 1 (w x y z)"
        raise AnnotationError(msg, reason="pose")
    return rigid(rotations_from(w_last(turn)), place)
