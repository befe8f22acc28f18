"""Indoor recordings with one file for each pose: 7-Scenes and ScanNet.

Both store *camera-to-world* matrices of four rows in metres, OpenCV axes (x right, y down, z forward), and name the
frames by number. 7-Scenes (Shotton et al., CVPR 2013) has ``seq-01/frame-000000.color.png`` beside
``frame-000000.pose.txt``. ScanNet (Dai et al., CVPR 2017), as its exporter writes it, has ``color/0.jpg``,
``pose/0.txt`` and ``intrinsic/intrinsic_color.txt`` in a folder for each scan; a pose is all ``-inf`` where the
tracking was lost.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from remot.data.annotations.base import ClipSource
from remot.data.annotations.cameras.poses import is_rigid, pinhole
from remot.data.annotations.cameras.sequences import SequenceReader, sequence_id, sources_of
from remot.data.annotations.parsing.number_rows import number_table
from remot.data.media.images import IMAGE_SUFFIXES
from remot.errors import AnnotationError
from remot.files import files_in, find_files
from remot.structures import CameraTrack, Clip, FloatArray

OnBadPose = Literal["raise", "drop"]

#: The end of a 7-Scenes recording's name; what is before it is the scene.
SEQUENCE_NUMBER = re.compile(r"-?seq-[0-9]+$")
FRAME_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(eq=False, kw_only=True)
class _NumberedReader(SequenceReader):
    """Shared by recordings whose frames have a number, an image and a pose file each.

    Args:
        fps: Frame numbers per second.
        on_bad_pose: ``raise`` stops at a pose that is not finite or not rigid; ``drop`` leaves such frames out.
    """

    #: Whether a pose with no finite number in its first three rows says that tracking was lost.
    marks_lost_poses: ClassVar[bool] = False

    fps: float = 30.0
    on_bad_pose: OnBadPose = "raise"

    def _poses(self, frames: dict[int, tuple[Path, str]]) -> dict[int, FloatArray]:
        """The poses [4, 4] that can be used, by number, in order."""
        found: dict[int, FloatArray] = {}
        for number in sorted(frames):
            file = frames[number][0]
            pose = number_table(file, 4, num_rows=4, finite=False)
            if is_rigid(pose[None])[0]:
                found[number] = pose
            elif self.on_bad_pose == "raise" and not (self.marks_lost_poses and not np.isfinite(pose[:3]).any()):
                kind = "not a rigid motion (scale, flip or last row)" if np.isfinite(pose).all() else "NaN or infinity"
                msg = f"{file}: the pose is {kind}; repair it, or set on_bad_pose to drop to leave such frames out"
                raise AnnotationError(msg, reason="pose" if np.isfinite(pose).all() else "not finite")
        return found

    def _clip(
        self,
        folder: Path,
        root: Path,
        domain: str,
        scene_id: str,
        intrinsics: FloatArray | None,
        named: dict[str, tuple[Path, str]],
    ) -> Clip:
        """The clip of frames: for each number's digits its pose file and its image, a path relative to ``folder``."""
        frames = {}
        for digits, (file, image) in named.items():
            if not FRAME_NUMBER.fullmatch(digits):
                msg = f"{file}: the name must hold the frame's number, found {digits[:40]!r}"
                raise AnnotationError(msg)
            frames[int(digits)] = file, image
        poses = self._poses(frames)
        if not poses:
            msg = f"{folder}: none of {len(frames)} frames has a usable pose, remove the recording"
            raise AnnotationError(msg, reason="zero length")
        media, kept = self.listed_images(folder, folder, root, [frames[number][1] for number in poses])
        numbers = np.array(list(poses), dtype=np.float64)[kept]
        return Clip(
            clip_id=sequence_id(folder, root),
            scene_id=scene_id,
            domain=domain,
            media=media,
            pts_seconds=(numbers - numbers[0]) / self.fps,
            camera=CameraTrack(np.stack(list(poses.values()))[kept], intrinsics),
        )


@dataclass(eq=False)
class SevenScenesReader(_NumberedReader):
    """Reads folders with ``frame-000000.color.png`` and ``frame-000000.pose.txt``.

    See the module for the source's conventions; nothing needs converting. The scene is what is left of the
    recording's name without its number, such as ``chess`` of ``chess/seq-01``.

    Args:
        intrinsics: ``[fx, fy, cx, cy]`` in pixels, the same for all recordings; None if unknown. The source gives
            ``[585, 585, 320, 240]`` for its depth camera and nothing for the colour camera.
    """

    intrinsics: list[float] | None = None

    def sequences(self, root: Path) -> list[ClipSource]:
        """The folders with pose files."""
        wanted = "frame-*.pose.txt"
        return sources_of(root, (file.parent for file in find_files(root, wanted)), wanted)

    def read_sequence(self, sequence: ClipSource, root: Path) -> Clip:
        """The recording in one folder."""
        folder = sequence.file
        names = (path.name for path in files_in(folder, IMAGE_SUFFIXES))
        images = {name.split(".")[0]: name for name in names if ".color." in name}
        frames = {}
        for file in sorted(folder.glob("frame-*.pose.txt")):
            stem = file.name.removesuffix(".pose.txt")
            frames[stem.removeprefix("frame-")] = (file, images.get(stem, f"{stem}.color.png"))
        scene = SEQUENCE_NUMBER.sub("", sequence_id(folder, root)) or sequence_id(root, root)
        return self._clip(folder, root, "seven_scenes", scene, pinhole(self.intrinsics), frames)


@dataclass(eq=False)
class ScanNetReader(_NumberedReader):
    """Reads folders with ``color``, ``pose`` and ``intrinsic``.

    See the module for the source's conventions; nothing needs converting. Frames whose pose is all infinite are left
    out. Scans of one room, ``scene0000_00`` and ``scene0000_01``, are one scene, ``scene0000``.

    Args:
        fps: Frame numbers per second; a recording exported with every 20th frame keeps its numbers, and so its times.
        on_bad_pose: What to do about poses that are wrong otherwise: ``raise`` or ``drop``.
    """

    marks_lost_poses: ClassVar[bool] = True

    def sequences(self, root: Path) -> list[ClipSource]:
        """The folders with both ``pose`` and ``color``."""
        found = (pose for pose in find_files(root, "pose") if pose.is_dir())
        folders = (pose.parent for pose in found if (pose.parent / "color").is_dir())
        return sources_of(root, folders, "folder with pose and color in it")

    def read_sequence(self, sequence: ClipSource, root: Path) -> Clip:
        """The scan in one folder."""
        folder = sequence.file
        calibration = folder / "intrinsic" / "intrinsic_color.txt"
        intrinsics = number_table(calibration, 4, num_rows=4)[:3, :3] if calibration.exists() else None
        scene = re.sub(r"(scene[0-9]+)_[0-9]+$", r"\1", sequence_id(folder, root))
        images = {path.stem: path.name for path in files_in(folder / "color", IMAGE_SUFFIXES)}
        frames = {}
        for file in files_in(folder / "pose", (".txt",)):
            image = images.get(file.stem, f"{file.stem}.jpg")
            frames[file.stem] = (file, f"color/{image}")
        return self._clip(folder, root, "scannet", scene, intrinsics, frames)
