"""What both spellings of a COLMAP model hold, and the text spelling."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from remot.data.annotations.base import read_text
from remot.data.annotations.parsing.number_rows import COMMENT, numbers_in, table_rows
from remot.errors import AnnotationError
from remot.files import lines_of
from remot.structures import FloatArray

#: Camera models by number: name, number of parameters, and how many of these are focal lengths. The focal lengths come
#: first and the principal point follows. https://colmap.github.io/cameras.html and COLMAP's ``sensor/models.h``.
CAMERA_MODELS: dict[int | str, tuple[str, int, int]] = {
    0: ("SIMPLE_PINHOLE", 3, 1),
    1: ("PINHOLE", 4, 2),
    2: ("SIMPLE_RADIAL", 4, 1),
    3: ("RADIAL", 5, 1),
    4: ("OPENCV", 8, 2),
    5: ("OPENCV_FISHEYE", 8, 2),
    6: ("FULL_OPENCV", 12, 2),
    7: ("FOV", 5, 2),
    8: ("SIMPLE_RADIAL_FISHEYE", 4, 1),
    9: ("RADIAL_FISHEYE", 5, 1),
    10: ("THIN_PRISM_FISHEYE", 12, 2),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", 16, 2),
    12: ("SIMPLE_DIVISION", 4, 1),
    13: ("DIVISION", 5, 2),
    14: ("SIMPLE_FISHEYE", 3, 1),
    15: ("FISHEYE", 4, 2),
    16: ("EUCM", 6, 2),
}
NUMBER = re.compile(r"[-+0-9.eE]{1,40}")
POINT_ID = re.compile(r"-1|[0-9]{1,20}")
_NUMBERS = {name: number for number, (name, _, _) in CAMERA_MODELS.items()}


class ModelImage(NamedTuple):
    """A registered image.

    Args:
        name: Path relative to the folder of images.
        camera_id: Which camera took it.
        numbers: [7] quaternion with its real part first and translation, *world to camera*.
    """

    name: str
    camera_id: int
    numbers: FloatArray


def pinhole_of(where: str, model: int | str, params: FloatArray) -> FloatArray:
    """Pinhole matrix [3, 3] of a camera, its distortion left away.

    Raises:
        AnnotationError: If the model is not one of :data:`CAMERA_MODELS`, or the parameters are not those of it.
    """
    if model not in CAMERA_MODELS:
        msg = f"{where}: camera model {model!r:.40} is not known, convert the model to one of {', '.join(_NUMBERS)}"
        raise AnnotationError(msg)
    name, num_params, num_focals = CAMERA_MODELS[model]
    if len(params) != num_params or not np.isfinite(params).all() or params[:num_focals].min() <= 0:
        msg = f"{where}: camera model {name} has {num_params} finite parameters, focal lengths above 0 first"
        raise AnnotationError(msg)
    fx, fy = params[0], params[num_focals - 1]
    cx, cy = params[num_focals : num_focals + 2]
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def read_cameras_text(file: Path) -> dict[int, FloatArray]:
    """Pinhole matrices [3, 3] by camera number, from rows ``id model width height parameters``."""
    found = {}
    for where, words in table_rows(file):
        if len(words) < 5:
            msg = f"{where} must hold id, model, width, height and parameters, found {' '.join(words)[:60]!r}"
            raise AnnotationError(msg)
        params = numbers_in(where, words[4:], len(words) - 4)
        found[_whole(where, words[0])] = pinhole_of(where, _NUMBERS.get(words[1], words[1]), params)
    require_declared(file, "cameras", read_text(file), len(found))
    return found


def read_images_text(file: Path) -> list[ModelImage]:
    """Registered images, from lines ``id qw qx qy qz tx ty tz camera name``.

    A line with the points seen in the image may follow, ``x y id`` of each; it may be empty, and some programs leave
    such lines out. A line of points is known by its words, whose number is a multiple of three.

    Raises:
        AnnotationError: Naming the line that does not fit; or if the header declares another number of images.
    """
    text = read_text(file)
    found: list[ModelImage] = []
    may_be_points = False
    for number, line in enumerate(lines_of(text), start=1):
        if line.startswith(COMMENT):
            continue
        # Points are x y id, or none; ids are whole numbers, -1 for a point without one.
        words = line.split()
        are_numbers = all(map(NUMBER.fullmatch, words)) and all(map(POINT_ID.fullmatch, words[2::3]))
        if may_be_points and len(words) % 3 == 0 and are_numbers:
            may_be_points = False
        elif line.strip():
            found.append(_image(f"{file}: line {number}", line))
            may_be_points = True
    require_declared(file, "images", text, len(found))
    return found


def _image(where: str, line: str) -> ModelImage:
    words = line.split(maxsplit=9)
    if len(words) != 10:
        msg = f"{where} must hold id, qw qx qy qz, tx ty tz, camera and name, found {line[:60]!r}"
        raise AnnotationError(msg)
    _whole(where, words[0])
    return ModelImage(words[9].strip(), _whole(where, words[8]), numbers_in(where, words[1:8], 7))


def require_declared(file: Path, what: str, text: str, num_found: int) -> None:
    """Compare what was read with the count that COLMAP writes into the header, ``# Number of images: 12, …``.

    Raises:
        AnnotationError: If they differ.
    """
    declared = re.search(rf"^#\s*Number of {what}:\s*([0-9]{{1,12}})\b", text, re.MULTILINE)
    if declared and int(declared[1]) != num_found:
        msg = f"{file}: its header declares {int(declared[1])} {what}, {num_found} were read; export the model again"
        raise AnnotationError(msg, reason="unsynchronised")


def _whole(where: str, word: str) -> int:
    if not word.isascii() or not word.isdigit() or len(word) > 20:
        msg = f"{where}: expected a whole number, found {word[:40]!r}"
        raise AnnotationError(msg)
    return int(word)
