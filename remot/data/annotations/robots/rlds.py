"""Robot episodes in the RLDS layout of TensorFlow Datasets, such as those of Open X-Embodiment.

They are TFRecord files with one ``tf.train.Example`` for each episode (https://github.com/google-research/rlds).
TensorFlow is not needed.

The layout flattens all steps of an episode into lists: ``steps/observation/<camera>`` holds one JPEG or PNG image for
each step, ``steps/observation/state`` as many numbers as steps times columns. What the columns mean is each data set's
own; ``features.json`` beside the records is not read, since its descriptions are known to be copied and wrong.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remot.data.annotations.base import AnnotationReader, ClipSource, require_any, require_inside
from remot.data.annotations.parsing.tf_example import Feature, parse_example
from remot.data.annotations.parsing.tfrecord import RecordSpan, index_records, read_record
from remot.data.annotations.robots.axes import (
    UPRIGHT_CAMERA,
    axes_matrix,
    check_opening_range,
    scale_opening,
    to_viewer,
)
from remot.data.media.archives import EncodedImages
from remot.errors import AnnotationError, DecodeError
from remot.files import find_files
from remot.structures import Clip, EffectorTrack, Event, FloatArray

PATTERN = "*.tfrecord*"
NO_AXES = "?,?,?"
MAX_TEXT_BYTES = 10_000


@dataclass(frozen=True)
class RLDSEffector:
    """Where a data set keeps its gripper.

    Args:
        positions: Feature with positions in metres, such as ``steps/observation/state``.
        position_columns: Its columns with x, y and z.
        opening: Feature with readings of the gripper; None if there is none.
        opening_column: Its column.
        opening_range: Readings of the closed and of the open gripper; None if they are 0 and 1.
        axes: How the positions' axes lie for the viewer, see :mod:`remot.data.annotations.robots.axes`.
    """

    positions: str
    position_columns: tuple[int, int, int] = (0, 1, 2)
    opening: str | None = None
    opening_column: int = 0
    opening_range: tuple[float, float] | None = None
    axes: str = UPRIGHT_CAMERA


@dataclass(eq=False)
class RLDSReader(AnnotationReader):
    """Reads TFRecord files in the RLDS layout; one clip for each record.

    Episodes whose images are all black are left out with a log message: data sets fill in such images for cameras
    that an episode does not have. The instruction becomes an event.

    Records of the same source file are one scene. Two records with the same positions, instruction and first image
    are the same snippet, as where the files of two splits hold the same episodes: they are named in the log and are put
    into one scene, so that no split leaks another one's answers.

    Args:
        camera: Feature with the images, such as ``steps/observation/image_0``.
        effector: Where the gripper is described.
        fps: Steps a second, such as 5.
        name: Name of the arm in questions.
        instruction: Feature with the instruction.
        scene: Feature with the file an episode was taken from; a record without it is a scene of its own.
        domain: Name of the data in reports.
        camera_moves: Whether the camera moves in an episode, such as one at the wrist; None if that is not known.
            Directions are asked about only if it is false.

    Raises:
        ConfigError: If ``fps``, the effector's axes or its range are unusable.
    """

    camera: str
    effector: RLDSEffector
    fps: float
    name: str = "robot arm"
    instruction: str = "steps/language_instruction"
    scene: str = "episode_metadata/file_path"
    domain: str = "rlds"
    camera_moves: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        axes_matrix(self.effector.axes)
        check_opening_range(self.effector.opening_range)
        self._indices: dict[Path, tuple[list[RecordSpan], str | None]] = {}
        self._snippets: dict[str, tuple[ClipSource, str]] = {}

    def sources(self, root: Path) -> list[ClipSource]:
        """The records of all files, found without reading them."""
        found = []
        for file in sorted(path for path in find_files(root, PATTERN) if path.is_file()):
            spans, fault = self._indices[file] = index_records(file)
            # What follows a fault is a source too, so that it is named and the records before it are still read.
            found += [ClipSource(file, str(number)) for number in range(len(spans) + (fault is not None))]
        return require_any(found, root, f"{PATTERN} with records", "a data set in RLDS layout")

    def read_source(self, source: ClipSource, root: Path) -> Clip | None:
        """One episode; None if its images are all black."""
        file, where = require_inside(source.file, root), f"{source.file}: record {source.key}"
        if source.file not in self._indices:
            self._indices[source.file] = index_records(source.file)
        spans, fault = self._indices[source.file]
        if int(source.key) >= len(spans):
            msg = f"{where} cannot be read, {fault}; fetch the file again"
            raise AnnotationError(msg)
        span = spans[int(source.key)]
        payload = read_record(source.file, span)
        features = self._features(where, payload)
        images = self._images(where, file, span, features)
        if _all_black(where, images):
            self._notices.add(f"records are left out, all their images in {self.camera} are black", where)
            return None
        return self._clip(source, root, payload, features, images)

    def _features(self, where: str, payload: bytes) -> dict[str, Feature]:
        needed = [self.camera, self.effector.positions]
        needed += [] if self.effector.opening is None else [self.effector.opening]
        try:
            features, names = parse_example(payload, {*needed, self.instruction, self.scene})
        except ValueError as error:
            msg = f"{where} is no tf.train.Example ({error})"
            raise AnnotationError(msg) from error
        if missing := [name for name in needed if name not in features]:
            msg = f"{where} has no {missing[0]!r:.80}, it has {', '.join(names):.600}"
            raise AnnotationError(msg, reason="missing media" if missing[0] == self.camera else "malformed")
        return features

    def _images(self, where: str, file: Path, record: RecordSpan, features: dict[str, Feature]) -> EncodedImages:
        spans = features[self.camera].spans
        if not spans:
            msg = f"{where}: {self.camera} holds no encoded image"
            raise AnnotationError(msg, reason="zero length")
        placed = tuple((record.offset + offset, length) for offset, length in spans)
        return EncodedImages(file, placed, f"{self.camera} of the record at byte {record.offset}")

    def _clip(
        self, source: ClipSource, root: Path, payload: bytes, features: dict[str, Feature], images: EncodedImages
    ) -> Clip:
        where, n = f"{source.file}: record {source.key}", len(images.spans)
        positions = _columns(where, features, self.effector.positions, self.effector.position_columns, n)
        opening = None
        if self.effector.opening is not None:
            readings = _columns(where, features, self.effector.opening, (self.effector.opening_column,), n)[:, 0]
            opening = scale_opening(f"{where}, {self.effector.opening}", readings, self.effector.opening_range)
        place = source.file.resolve().relative_to(root)
        clip_id = "-".join((*place.parts[:-1], place.name.replace(".tfrecord", ""), source.key))
        instruction = _text(payload, features.get(self.instruction))
        track = EffectorTrack(to_viewer(positions, self.effector.axes), opening)
        return Clip(
            clip_id=clip_id,
            scene_id=self._scene_id(source, clip_id, payload, features, positions),
            domain=self.domain,
            media=images,
            pts_seconds=np.arange(n) / self.fps,
            effectors={self.name: track},
            events=(Event(instruction, 0.0, n / self.fps),) if instruction else (),
            camera_moves=self.camera_moves,
        )

    def _scene_id(
        self, source: ClipSource, clip_id: str, payload: bytes, features: dict[str, Feature], positions: FloatArray
    ) -> str:
        """The source file's name; that of the first record with the same content, if this is a copy of one."""
        scene = _text(payload, features.get(self.scene)) or clip_id
        offset, length = (features[self.camera].spans or ((0, 0),))[0]
        digest = hashlib.sha256(positions.tobytes() + payload[offset : offset + length])
        digest.update(_text(payload, features.get(self.instruction)).encode())
        first, scene = self._snippets.setdefault(digest.hexdigest(), (source, scene))
        if first != source:
            self._notices.add("records hold the same snippet as another, with which they share a scene", str(source))
        return scene


class BridgeReader(RLDSReader):
    """Reads BridgeData V2 in RLDS layout (https://rail-berkeley.github.io/bridgedata).

    The source's conventions: ``steps/observation/state`` holds x, y, z of the gripper in metres in the robot's base (x
    forward, y to the left, z up), roll, pitch, yaw, and the gripper's opening (1 open). 5 steps a second. ``image_0``
    is the camera that every episode has; others may be black. In the scenes that were looked at it stands at a corner
    of the table, so that forward and sideways are both diagonal in the image: only the vertical is known. Say
    more with ``axes`` where a camera looks along an axis. ``image_3`` is at the wrist and moves; the others are fixed.

    Args:
        camera: Name below ``steps/observation``.
        axes: How the base's axes lie for the viewer, see
            :mod:`remot.data.annotations.robots.axes`; None for what is known.
        domain: Name of the data in reports.
    """

    def __init__(self, camera: str = "image_0", axes: str | None = None, domain: str = "bridge") -> None:
        state, at_wrist = "steps/observation/state", camera == "image_3"
        effector = RLDSEffector(
            state, opening=state, opening_column=6, axes=axes or (NO_AXES if at_wrist else UPRIGHT_CAMERA)
        )
        super().__init__(f"steps/observation/{camera}", effector, fps=5.0, domain=domain, camera_moves=at_wrist)


class DroidReader(RLDSReader):
    """Reads DROID in RLDS layout (https://droid-dataset.github.io).

    The source's conventions: ``steps/observation/cartesian_position`` holds x, y, z of the gripper in metres in the
    robot's base (x forward, y to the left, z up) and three angles; ``steps/observation/gripper_position`` is 0 for open
    and 1 for closed, which is turned round here. 15 steps a second. The cameras beside the table stand on either side,
    so that only the vertical is known; with the camera at the wrist nothing is, for it moves with the gripper.

    Args:
        camera: Name below ``steps/observation``: ``exterior_image_1_left``, ``exterior_image_2_left`` or
            ``wrist_image_left``.
        axes: How the base's axes lie for the viewer, see
            :mod:`remot.data.annotations.robots.axes`; None for what is known.
        domain: Name of the data in reports.
    """

    def __init__(self, camera: str = "exterior_image_1_left", axes: str | None = None, domain: str = "droid") -> None:
        effector = RLDSEffector(
            "steps/observation/cartesian_position",
            opening="steps/observation/gripper_position",
            opening_range=(1.0, 0.0),
            axes=axes or (NO_AXES if camera.startswith("wrist") else UPRIGHT_CAMERA),
        )
        at_wrist = camera.startswith("wrist")
        super().__init__(f"steps/observation/{camera}", effector, fps=15.0, domain=domain, camera_moves=at_wrist)


def _columns(
    where: str, features: dict[str, Feature], name: str, columns: tuple[int, ...], num_frames: int
) -> FloatArray:
    """[N, K] of a feature, of which the images say how many rows it has."""
    values = features[name].values
    if values is None or len(values) == 0:
        msg = f"{where}: {name} holds no numbers"
        raise AnnotationError(msg)
    if len(values) % num_frames:
        msg = f"{where}: {name} has {len(values)} numbers, which are no whole rows for {num_frames} images"
        raise AnnotationError(msg, reason="unsynchronised")
    rows = values.reshape(num_frames, -1)
    if not all(0 <= column < rows.shape[1] for column in columns):
        msg = f"{where}: {name} has {rows.shape[1]} columns for {num_frames} images, column {max(columns)} is wanted"
        raise AnnotationError(msg, reason="shape")
    chosen: FloatArray = rows[:, list(columns)]
    if not np.isfinite(chosen).all():
        msg = f"{where}: {name} holds NaN or infinity, leave the record out"
        raise AnnotationError(msg, reason="not finite")
    return chosen


def _text(payload: bytes, feature: Feature | None) -> str:
    """The first text of a feature, "" if there is none."""
    if feature is None or not feature.spans:
        return ""
    offset, length = feature.spans[0]
    return payload[offset : offset + min(length, MAX_TEXT_BYTES)].decode("utf-8", errors="replace").strip()


def _all_black(where: str, images: EncodedImages) -> bool:
    """Whether the first, the middle and the last image are black."""
    n = len(images.spans)
    try:
        return all(int(image.max()) == 0 for image in images.read(sorted({0, n // 2, n - 1})))
    except DecodeError as error:
        msg = f"{where}: {error}"
        raise AnnotationError(msg, reason=error.reason) from error
