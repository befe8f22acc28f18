"""Recordings of a red rectangle before a patchwork, in the layouts of the object data sets.

What an image shows can be measured in it, apart from all annotations: nothing else is pure red.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 320, 240
RED = (255, 0, 0)
#: Top left corners of the rectangle: there and back, with rests, sideways and in height.
PATH = [
    *((10, 20), (11, 20), (60, 20), (110, 21), (160, 22), (210, 22), (212, 22), (212, 70), (210, 120)),
    *((160, 120), (110, 122), (60, 120), (12, 120), (10, 70)),
]


@dataclass(frozen=True)
class Box:
    """Left, top, width and height of a rectangle in pixels, counted from 0."""

    left: int
    top: int
    width: int
    height: int


def boxes_of(scene, width=30, height=90):
    """The way of the rectangle in a scene; each scene starts elsewhere on it."""
    corners = PATH[scene % len(PATH) :] + PATH[: scene % len(PATH)]
    return [Box(*corner, width, height) for corner in corners]


def paint(folder, scene, boxes, name="{:06d}.png", first=1):
    """Images of a scene, each with its rectangle. The background is blue only."""
    folder.mkdir(parents=True, exist_ok=True)
    patches = np.random.default_rng(scene).integers(0, 256, (6, 8), dtype=np.uint8)
    ground = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    ground[..., 2] = patches.repeat(HEIGHT // 6, axis=0).repeat(WIDTH // 8, axis=1)
    for k, box in enumerate(boxes, start=first):
        image = ground.copy()
        image[box.top : box.top + box.height, box.left : box.left + box.width] = RED
        Image.fromarray(image).save(folder / name.format(k))


@cache
def red_pixels(file):
    """[H, W] True where an image is red."""
    return (np.asarray(Image.open(file).convert("RGB")) == RED).all(axis=-1)


def white_pixels(file):
    """[H, W] True where a mask is white."""
    return (np.asarray(Image.open(file).convert("RGB")) == 255).all(axis=-1)


def write_lines(file, lines):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def write_mot(root, names):
    """People of MOT15: the red one, and one farther away who is not painted."""
    for scene, name in enumerate(names):
        boxes = boxes_of(scene)
        paint(root / name / "img1", scene, boxes)
        rows = [f"{k},3,{b.left + 1},{b.top + 1},{b.width},{b.height},1,-1,-1,-1" for k, b in enumerate(boxes, 1)]
        rows += [f"{k},8,280,6,15,45,1,-1,-1,-1" for k in range(1, len(boxes) + 1)]
        write_lines(root / name / "gt" / "gt.txt", rows)
        ini = ["[Sequence]", "imDir=img1", "frameRate=25", f"seqLength={len(boxes)}", f"imWidth={WIDTH}"]
        write_lines(root / name / "seqinfo.ini", [*ini, f"imHeight={HEIGHT}"])


def write_otb(root, names):
    for scene, name in enumerate(names):
        boxes = boxes_of(scene, width=20, height=40)
        paint(root / name / "img", scene, boxes)
        rows = [f"{b.left + 1}\t{b.top + 1}\t{b.width}\t{b.height}" for b in boxes]
        write_lines(root / name / "groundtruth_rect.txt", rows)


def write_got10k(root, names):
    for scene, name in enumerate(names):
        boxes = boxes_of(scene, height=60)
        paint(root / name, scene, boxes)
        write_lines(root / name / "groundtruth.txt", [f"{b.left},{b.top},{b.width},{b.height}" for b in boxes])
        write_lines(root / name / "meta_info.ini", ["[METAINFO]", "anno_fps: 10Hz", "object_class: sloth"])


#: Metres of one degree of longitude on the equator of the sphere that KITTI uses: 2 pi 6378137 / 360.
DEGREE_METRES = 111_319.490793
CALIB = [
    "P2: 700 0 160 0 0 700 120 0 0 0 1 0",
    "R_rect 1 0 0 0 1 0 0 0 1",
    "Tr_velo_cam 0 -1 0 0 0 0 -1 0 1 0 0 0",
    "Tr_imu_velo 1 0 0 0 0 1 0 0 0 0 1 0",
]


def write_kitti(root, names, without_oxts=()):
    """A car of 1.4 m in height that comes nearer, so that it grows, and goes away again.

    The camera stands in the first eight images; then it drives a metre and turns three degrees to the left in each.
    """
    base = root / "training"
    for scene, name in enumerate(names):
        depths = [30.0, 30.1, 24.0, 18.0, 12.0, 8.0, 8.1, 14.0, 20.0, 26.0, 26.1, 20.0, 14.0, 10.0]
        boxes = [
            Box(left=b.left, top=b.top, width=60, height=round(700 * 1.4 / depth))
            for b, depth in zip(boxes_of(scene), depths, strict=True)
        ]
        paint(base / "image_02" / name, scene, boxes, first=0)
        rows = [
            f"{k} 7 Car 0 0 -1.5 {b.left} {b.top} {b.left + b.width} {b.top + b.height} 1.4 1.6 4 0 1.5 {depth} 0.1"
            for k, (b, depth) in enumerate(zip(boxes, depths, strict=True))
        ]
        write_lines(base / "label_02" / f"{name}.txt", rows)
        write_lines(base / "calib" / f"{name}.txt", CALIB)
        driven = [max(0, k - 7) for k in range(len(boxes))]
        poses = [f"0 {k / DEGREE_METRES:.12f} 0 0 0 {np.radians(3 * k):.9f}" + " 0" * 24 for k in driven]
        if name not in without_oxts:
            write_lines(base / "oxts" / f"{name}.txt", poses)
