"""Models of COLMAP (https://colmap.github.io/format.html) beside the images they were made from.

The source's conventions, as its authors state them: ``sparse/0/images.bin`` or ``.txt`` holds for each registered
image the quaternion (real part first) and the translation that take *world to camera*, OpenCV axes (x right, y
down, z forward), in a unit and a world frame without meaning. ``cameras.bin`` or ``.txt`` holds each camera's model
and its parameters in pixels. The images lie in a folder ``images`` beside ``sparse``. There are no times.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remot.data.annotations.base import ClipSource
from remot.data.annotations.cameras.colmap_binary import read_cameras_binary, read_images_binary
from remot.data.annotations.cameras.colmap_model import ModelImage, read_cameras_text, read_images_text
from remot.data.annotations.cameras.poses import inverted, is_unit, rigid, rotations_from, w_last
from remot.data.annotations.cameras.sequences import SequenceReader, sequence_id, sources_of
from remot.errors import AnnotationError
from remot.files import find_files, number_order
from remot.structures import CameraTrack, Clip, FloatArray


@dataclass(eq=False)
class COLMAPReader(SequenceReader):
    """Reads folders with ``images.bin`` and ``cameras.bin``, or the same in text.

    See the module for the source's conventions; the poses are inverted. The images are taken in the number order of
    their names, which is the order in time for images out of a video and means nothing for unordered photographs.
    Translations are not metric, so nothing is asked about them. Several models of one folder of images are one scene.

    Args:
        image_folder: Folder of the images, looked for beside the model and in the folders above it.
        fps: Images per second.
        is_metric: Whether the model was scaled to metres.
    """

    image_folder: str = "images"
    fps: float = 30.0
    is_metric: bool = False

    def sequences(self, root: Path) -> list[ClipSource]:
        """The folders with a model in either spelling."""
        found = [file.parent for name in ("images.bin", "images.txt") for file in find_files(root, name)]
        models = [folder for folder in found if any((folder / f"cameras.{end}").is_file() for end in ("bin", "txt"))]
        return sources_of(root, models, "images.bin or images.txt with cameras beside it")

    def read_sequence(self, sequence: ClipSource, root: Path) -> Clip:
        """The model in one folder."""
        folder = sequence.file
        cameras, images = _read_model(folder)
        images = sorted(images, key=lambda image: number_order(image.name))
        if not images:
            msg = f"{folder}: the model registers no image, remove it"
            raise AnnotationError(msg, reason="zero length")
        image_folder = self._image_folder(folder, root)
        media, kept = self.listed_images(folder, image_folder, root, [image.name for image in images])
        images = [images[k] for k in kept]
        return Clip(
            clip_id=sequence_id(folder, root),
            scene_id=sequence_id(image_folder.parent, root),
            domain="colmap",
            media=media,
            pts_seconds=(kept - kept[0]) / self.fps,
            camera=CameraTrack(_poses(folder, images), _intrinsics(folder, cameras, images), self.is_metric),
        )

    def _image_folder(self, folder: Path, root: Path) -> Path:
        place = folder.resolve()
        while place.is_relative_to(root):
            if (place / self.image_folder).is_dir():
                return place / self.image_folder
            place = place.parent
        msg = f"{folder}: there is no folder {self.image_folder!r} beside the model or above it, set image_folder"
        raise AnnotationError(msg, reason="missing media")


def _read_model(folder: Path) -> tuple[dict[int, FloatArray], list[ModelImage]]:
    """Cameras and images; of two spellings the binary one, as COLMAP does."""
    is_binary = (folder / "images.bin").is_file() and (folder / "cameras.bin").is_file()
    listed = folder / ("images.bin" if is_binary else "images.txt")
    if is_binary:
        cameras, images = read_cameras_binary(folder / "cameras.bin"), read_images_binary(listed)
    elif listed.is_file() and (folder / "cameras.txt").is_file():
        cameras, images = read_cameras_text(folder / "cameras.txt"), read_images_text(listed)
    else:
        msg = f"{folder}: cameras and images must both end in .bin or both in .txt"
        raise AnnotationError(msg, reason="missing")
    counts = Counter(image.name for image in images)
    if twice := [name for name, count in counts.items() if count > 1]:
        msg = f"{listed}: image {twice[0]!r:.80} is listed twice, with two poses; keep one of them"
        raise AnnotationError(msg, reason="duplicate id")
    return cameras, images


def _poses(folder: Path, images: list[ModelImage]) -> FloatArray:
    """Camera-to-world [N, 4, 4]."""
    numbers = np.stack([image.numbers for image in images])
    for image, row in zip(images, numbers, strict=True):
        if not np.isfinite(row).all() or not is_unit(row[:4]):
            msg = f"{folder}: image {image.name!r:.80} has no finite pose with a quaternion of length 1"
            raise AnnotationError(msg, reason="pose")
    return inverted(rigid(rotations_from(w_last(numbers[:, :4])), numbers[:, 4:]))


def _intrinsics(folder: Path, cameras: dict[int, FloatArray], images: list[ModelImage]) -> FloatArray | None:
    """Pinhole matrix [3, 3] if all images share it, else None."""
    for image in images:
        if image.camera_id not in cameras:
            msg = f"{folder}: image {image.name!r:.80} was taken by camera {image.camera_id}, which is not listed"
            raise AnnotationError(msg, reason="missing")
    used = [cameras[camera_id] for camera_id in sorted({image.camera_id for image in images})]
    return used[0] if all(np.array_equal(matrix, used[0]) for matrix in used) else None
