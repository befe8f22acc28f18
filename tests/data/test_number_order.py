"""Images called 1.png … 12.png are read by number, wherever a folder of them is listed."""

import json

import numpy as np
import pytest
from PIL import Image

from remot.data.annotations import (
    GOT10kReader,
    KITTIOdometryReader,
    KITTITrackingReader,
    MOTReader,
    NativeReader,
    OTBReader,
    TUMReader,
    write_annotation,
)
from remot.data.media import read_frames
from remot.data.media.masks import draw_mask
from remot.errors import AnnotationError, DecodeError
from tests.data.annotations import layouts
from tests.data.annotations.images import levels, write_images
from tests.data.annotations.objects import test_got10k, test_kitti_tracking, test_mot, test_otb

NUM = 12
NAMES = [f"{k}.png" for k in range(1, NUM + 1)]


def renumbered(folder):
    """The images of a folder under unpadded numbers."""
    for k, path in enumerate(sorted(folder.iterdir()), start=1):
        path.rename(folder / f"{k}{path.suffix}")


def write_native(root, names=NAMES):
    write_images(root / "images", names)
    content = {"format": "remot-clip/1", "id": "c", "scene": "s", "domain": "d", "media": "images"}
    (root / "c.json").write_text(json.dumps(content | {"pts_seconds": [k / 5 for k in range(NUM)]}))


def write_mot(root):
    folder = test_mot.write(root, [test_mot.mot15(k, 4, 100 + 10 * k, 100) for k in range(1, NUM + 1)], num=NUM)
    renumbered(folder / "img1")


def write_otb(root):
    test_otb.write(root, ["5,5,9,9"] * NUM)
    renumbered(root / "Crossing" / "img")


def write_got10k(root):
    test_got10k.write(root, rows=["5,5,9,9"] * NUM, num=0)
    write_images(root / "GOT-10k_Val_000001", NAMES, (640, 480))


def write_kitti_tracking(root):
    labels = [test_kitti_tracking.label(k, 7, place=(1.0, 1.5, 10.0 + k)) for k in range(NUM)]
    base = test_kitti_tracking.write(root, labels=labels, poses=[test_kitti_tracking.oxts()] * NUM, num=NUM)
    renumbered(base / "image_02" / "0000")


def write_kitti_odometry(root):
    layouts.write_kitti(layouts.shot_of(tuple(range(NUM))), root)
    renumbered(root / "sequences" / "00" / "image_2")


FORMATS = {
    "native": (write_native, NativeReader()),
    "mot": (write_mot, MOTReader()),
    "otb": (write_otb, OTBReader()),
    "got10k": (write_got10k, GOT10kReader()),
    "kitti_tracking": (write_kitti_tracking, KITTITrackingReader()),
    "kitti_odometry": (write_kitti_odometry, KITTIOdometryReader()),
    "slambook": (lambda root: layouts.write_slambook(layouts.shot_of(tuple(range(NUM))), root), TUMReader()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_images_are_read_by_number(tmp_path, name):
    """The k-th image has the grey level 10 k."""
    write, reader = FORMATS[name]
    write(tmp_path)
    (clip,) = reader.read(tmp_path)
    assert levels(read_frames(clip, range(NUM))) == list(range(NUM))


def write_masked(root, names=NAMES):
    """The object is the column k of mask k."""
    write_native(root)
    (root / "masks").mkdir()
    for k, name in enumerate(names):
        mask = np.zeros((48, 64), np.uint8)
        mask[:, k] = 255
        Image.fromarray(mask).save(root / "masks" / name)
    content = json.loads((root / "c.json").read_text())
    boxes = [[k, 0, k + 1, 48] for k in range(NUM)]
    content["objects"] = {"ball": {"boxes_xyxy": boxes, "masks": {"media": "masks", "value": 255}}}
    (root / "c.json").write_text(json.dumps(content))
    return next(NativeReader().read(root))


def columns_of(clip):
    image = read_frames(clip, [0])[0]
    return [draw_mask(clip.objects["ball"], k, image)[0, 0].nonzero().flatten().tolist() for k in range(NUM)]


def test_masks_are_read_by_number(tmp_path):
    assert columns_of(write_masked(tmp_path)) == [[k] for k in range(NUM)]


def test_copied_masks_keep_their_order(tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    clip = write_masked(tmp_path / "from")
    write_annotation(clip, tmp_path / "to", source="made", licence="CC0")
    copy = NativeReader().read_clip(tmp_path / "to" / "c.json", tmp_path.resolve())
    assert columns_of(copy) == [[k] for k in range(NUM)]


@pytest.mark.parametrize(
    "names",
    [
        ["01.png", *NAMES[:-1]],  # number 1 twice
        [*NAMES[:-1], "2_again.png"],  # after 2.png by number, after 12.png by letters
    ],
)
def test_unclear_orders_are_refused(tmp_path, names):
    write_native(tmp_path, names)
    (clip,) = NativeReader().read(tmp_path)
    with pytest.raises(DecodeError, match="images") as refused:
        read_frames(clip, [0])
    assert refused.value.reason == "order"


def test_a_reader_refuses_unclear_orders(tmp_path):
    write_otb(tmp_path)
    (tmp_path / "Crossing" / "img" / "12.jpg").rename(tmp_path / "Crossing" / "img" / "01.jpg")
    with pytest.raises(AnnotationError, match=r"'01\.jpg' and '1\.jpg'") as refused:
        list(OTBReader().read(tmp_path))
    assert refused.value.reason == "order"


def test_the_missing_number_is_named(tmp_path):
    write_native(tmp_path, [name for name in NAMES if name != "5.png"])
    (clip,) = NativeReader().read(tmp_path)
    with pytest.raises(DecodeError, match=r"11 images .*between 4\.png and 6\.png.* 12 are needed"):
        read_frames(clip, [11])
