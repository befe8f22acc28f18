"""Boxes must touch the stored image; turned media and gaps in numbers are reported; thin images are refused at once."""

import json
import os
import struct

import numpy as np
import pytest
from PIL import Image

from remot.data.annotations import NativeReader
from remot.data.clips.loading import read_each
from remot.data.media import check_media
from remot.data.media.images import MAX_ASPECT_RATIO
from remot.data.media.notes import check_boxes, notes_on_media
from remot.data.tasks import MotionContrast
from remot.datatools.validation import Validation, check_clips
from remot.errors import AnnotationError, DecodeError
from remot.structures import Clip, ObjectTrack
from tests.data.annotations.images import write_images
from tests.data.media.numbered import encode, numbered_images, replace_in_box

NAN = float("nan")
SIZE = (64, 48)


def clip_with(boxes, media):
    return Clip("c", "s", "d", media, np.arange(len(boxes)) / 10, objects={"cup": ObjectTrack(np.array(boxes, float))})


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images", ["1.png", "2.png", "3.png"], SIZE)
    return tmp_path / "images"


#: One pixel beyond each edge of an image of 64 x 48, and beside it a box that covers the last pixel inside.
OUTSIDE = {"left": [-9, 5, 0, 9], "top": [5, -9, 9, 0], "right": [64, 5, 70, 9], "bottom": [5, 48, 9, 60]}
TOUCHING = [[-9, 5, 0.5, 9], [5, -9, 9, 0.5], [63.5, 5, 70, 9], [5, 47.5, 9, 60]]


@pytest.mark.parametrize("edge", OUTSIDE)
@pytest.mark.parametrize("kind", ["folder", "files", "video"])
def test_a_box_outside_the_image_is_refused(images, tmp_path, edge, kind):
    media = {
        "folder": images,
        "files": tuple(images / f"{k}.png" for k in (1, 2, 3)),
        "video": encode(tmp_path / "v.mp4", numbered_images(3)) if kind == "video" else None,
    }[kind]
    with pytest.raises(AnnotationError) as refused:
        check_boxes(clip_with([[1, 1, 9, 9], [NAN] * 4, OUTSIDE[edge]], media))
    assert refused.value.reason == "outside image"
    assert "clip c, object cup, frame 2" in str(refused.value)
    assert "64 x 48" in str(refused.value)


def test_boxes_that_touch_the_image_pass(images):
    for box in TOUCHING:
        check_boxes(clip_with([box, [NAN] * 4, box], images))


def test_each_image_has_a_size_of_its_own(images):
    Image.new("RGB", (200, 100)).save(images / "2.png")
    files = tuple(images / f"{k}.png" for k in (1, 2, 3))
    check_boxes(clip_with([[1, 1, 9, 9], [150, 50, 160, 60], [1, 1, 9, 9]], files))
    with pytest.raises(AnnotationError, match="frame 2"):
        check_boxes(clip_with([[1, 1, 9, 9], [1, 1, 9, 9], [150, 50, 160, 60]], files))


@pytest.mark.parametrize("decode", [True, False])
def test_outside_boxes_are_found_before_a_run(images, decode):
    content = {"format": "remot-clip/1", "id": "c", "scene": "s", "domain": "d", "media": "images"}
    content |= {"pts_seconds": [0, 1, 2], "objects": {"cup": {"boxes_xyxy": [[70, 1, 80, 9]] * 3}}}
    (images.parent / "c.json").write_text(json.dumps(content))
    ((_, found),) = read_each(NativeReader(), images.parent, decode=decode)
    assert isinstance(found, AnnotationError)
    assert found.reason == "outside image"


# -- turned media ----------------------------------------------------------------------------------------------------


def quarter_turn(header):
    """Content of a ``tkhd`` box with another display matrix."""
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
    return header[:40] + matrix + header[76:]


def test_a_turned_video_is_reported(tmp_path):
    path = encode(tmp_path / "v.mp4", numbered_images(3))
    assert notes_on_media(clip_with([[1, 1, 9, 9]] * 3, path)) == ()
    replace_in_box(path, ["moov", "trak", "tkhd"], quarter_turn)
    (note,) = notes_on_media(clip_with([[1, 1, 9, 9]] * 3, path))
    assert "v.mp4" in note
    assert "90 degrees" in note
    assert "64 x 48" in note
    with pytest.raises(AnnotationError, match="90 degrees"):  # inside the image as a player shows it
        check_boxes(clip_with([[1, 50, 9, 60]] * 3, path))


def test_turned_images_are_reported(images):
    names = ["1.jpg", "2.jpg", "3.jpg"]
    write_images(images.parent / "jpg", names, SIZE)
    files = tuple(images.parent / "jpg" / name for name in names)
    assert notes_on_media(clip_with([[1, 1, 9, 9]] * 3, files)) == ()
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in names[1:]:
        Image.new("RGB", SIZE).save(images.parent / "jpg" / name, exif=exif)
    (note,) = notes_on_media(clip_with([[1, 1, 9, 9]] * 3, files))
    assert note.startswith("2 images")
    assert "2.jpg" in note


def test_validate_shows_notes_and_gaps(images):
    (images / "2.png").rename(images / "4.png")
    content = {"format": "remot-clip/1", "id": "c", "scene": "s", "domain": "d", "media": "images"}
    (images.parent / "c.json").write_text(json.dumps(content | {"pts_seconds": [0, 1, 2]}))
    write_images(images, ["5.png", "6.png", "7.png"], SIZE)
    (images / "6.png").unlink()
    checked = list(check_clips(NativeReader(), images.parent, [MotionContrast()]))
    report = Validation(checked, num_prompts=8, num_skipped_files=0, scenes={"test": 9})
    assert "note  c.json" in report.as_text()
    (note,) = report.summary()["notes"]["c.json"]
    assert "none between 1.png and 3.png" in note
    assert checked[0].fault == ""


# -- sizes and formats -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("kind", ["folder", "files", "video"])
def test_thin_images_are_refused_before_a_run(tmp_path, kind, decode):
    size = (2 * MAX_ASPECT_RATIO + 2, 2)
    write_images(tmp_path / "thin", ["1.png", "2.png"], size)
    media = {"folder": tmp_path / "thin", "files": (tmp_path / "thin" / "1.png", tmp_path / "thin" / "2.png")}
    if kind == "video":
        media["video"] = encode(tmp_path / "v.mkv", np.zeros((2, 2, size[0], 3), np.uint8), "ffv1")
    with pytest.raises(DecodeError, match=f"{size[0]} x 2 .*{MAX_ASPECT_RATIO}:1") as refused:
        check_media(Clip("c", "s", "d", media[kind], np.arange(2) / 10), decode=decode)
    assert refused.value.reason == "too thin"


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("kind", ["folder", "files"])
@pytest.mark.parametrize("fault", ["thin", "torn", "text"])
def test_images_after_the_first_are_looked_at_too(tmp_path, kind, decode, fault):
    """Also without decoding, which is all that happens before a fit."""
    folder = tmp_path / "images"
    write_images(folder, ["1.png", "2.png", "3.png"], SIZE)
    if fault == "thin":
        write_images(folder, ["3.png"], (2 * MAX_ASPECT_RATIO + 2, 2))
    else:
        (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:20] if fault == "torn" else b"<html>")
    media = folder if kind == "folder" else tuple(folder / f"{k}.png" for k in (1, 2, 3))
    check_media(Clip("c", "s", "d", media[:2] if kind == "files" else folder, np.arange(2) / 10), decode=decode)
    with pytest.raises(DecodeError, match=r"3\.png"):
        check_media(Clip("c", "s", "d", media, np.arange(3) / 10), decode=decode)


def test_images_at_the_limit_pass(tmp_path):
    write_images(tmp_path / "thin", ["1.png", "2.png"], (MAX_ASPECT_RATIO, 1))
    check_media(Clip("c", "s", "d", tmp_path / "thin", np.arange(2) / 10))


def test_postscript_starts_nothing(tmp_path, monkeypatch):
    """The image library would start ``gs`` for a file that begins as PostScript, whatever it is called."""
    (tmp_path / "bin").mkdir()
    gs = tmp_path / "bin" / "gs"
    gs.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None, raising=False)
    eps = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "1.png").write_text(eps)
    clip = Clip("c", "s", "d", (tmp_path / "1.png",), np.zeros(1))
    with pytest.raises(DecodeError, match=r"1\.png"):
        check_media(clip)
    masked = ObjectTrack(np.array([[1.0, 1, 9, 9]]), masks=(tmp_path / "1.png",))
    from remot.data.media.masks import draw_mask

    with pytest.raises(DecodeError, match=r"1\.png"):
        draw_mask(masked, 0, np.zeros((3, 48, 64)))
    assert not (tmp_path / "started").exists()
