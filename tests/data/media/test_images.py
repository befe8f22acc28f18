"""Images of every kind become 8 bits of red, green and blue, as stored; what is broken or absurd is refused."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from remot.data.media import check_media, read_frames
from remot.data.media.archives import decode_image
from remot.data.media.images import MAX_IMAGE_PIXELS, is_turned, size_of_image
from remot.errors import DecodeError
from remot.structures import Clip

RED, GREEN, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (255, 255, 255), (0, 0, 0)


def read(*paths):
    return read_frames(Clip("c", "s", "test", paths, np.arange(len(paths)) / 10), range(len(paths)))


def pixels(image):
    """[3, 1, W] as a list of colours."""
    return [tuple(colour) for colour in image[:, 0].T.tolist()]


def image_of(mode, values):
    """One row."""
    image = Image.new(mode, (len(values), 1))
    for x, value in enumerate(values):
        image.putpixel((x, 0), value)
    return image


def test_palette(tmp_path):
    image = image_of("P", [1, 0, 2])
    image.putpalette([*RED, *GREEN, *WHITE])
    image.save(tmp_path / "p.png")
    assert pixels(read(tmp_path / "p.png")[0]) == [GREEN, RED, WHITE]


def test_transparency_is_dropped(tmp_path):
    """The colour below full transparency counts; it is not mixed with a background."""
    image_of("RGBA", [(*RED, 255), (*GREEN, 0), (10, 20, 30, 128)]).save(tmp_path / "a.png")
    image_of("LA", [(7, 0), (9, 255)]).save(tmp_path / "la.png")
    coloured, grey = read(tmp_path / "a.png", tmp_path / "la.png")
    assert pixels(coloured) == [RED, GREEN, (10, 20, 30)]
    assert pixels(grey) == [(7, 7, 7), (9, 9, 9)]


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_grey_and_black_and_white(tmp_path, suffix):
    image_of("L", [0, 100, 255]).save(tmp_path / f"l.{suffix}")
    image_of("1", [0, 255]).save(tmp_path / f"one.{suffix}")
    grey, one = read(tmp_path / f"l.{suffix}", tmp_path / f"one.{suffix}")
    assert pixels(grey) == [BLACK, (100, 100, 100), WHITE]
    assert pixels(one) == [BLACK, WHITE]


def png(path, width, height, bit_depth, colour_type, rows, size=None):
    """An image file written chunk by chunk; ``size`` is what its header says where that is a lie."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", *(size or (width, height)), bit_depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def test_sixteen_bits_keep_the_upper_eight(tmp_path):
    """Grey 0x8040 is 0x80, not white; colours with 16 bits are treated alike."""
    levels = [0x0000, 0x00FF, 0x0100, 0x8040, 0xFFFF]
    grey = png(tmp_path / "grey.png", 5, 1, 16, 0, [struct.pack(">5H", *levels)])
    colour = png(tmp_path / "rgb.png", 2, 1, 16, 2, [struct.pack(">6H", 0x8040, 0x1234, 0xFFFF, 0, 0x00FF, 0x0100)])
    one, two = read(grey, colour)
    assert pixels(one) == [(level >> 8,) * 3 for level in levels]
    assert pixels(two) == [(0x80, 0x12, 0xFF), (0, 0, 1)]


def test_floating_point_is_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), dtype=np.float32)).save(tmp_path / "f.tiff")
    with pytest.raises(DecodeError, match=r"f\.tiff: .*floating-point"):
        read(tmp_path / "f.tiff")


def test_a_note_to_turn_the_image_is_not_obeyed(tmp_path):
    """Boxes are given in stored pixels. Orientation 6 asks viewers to turn by a quarter."""
    stored = np.zeros((8, 16, 3), dtype=np.uint8)
    stored[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("png", "jpg"):
        Image.fromarray(stored).save(tmp_path / f"t.{suffix}", exif=exif)
        with Image.open(tmp_path / f"t.{suffix}") as saved:
            assert saved.getexif()[0x0112] == 6
        (image,) = read(tmp_path / f"t.{suffix}")
        assert image.shape == (3, 8, 16)
        assert image[:, :, 12:].min() > 250
        assert image[:, :, :4].max() < 5


def test_images_own_their_memory(tmp_path):
    """Nothing downstream can write into another image, and tensors are laid out plainly."""
    Image.new("RGB", (4, 3), RED).save(tmp_path / "r.png")
    one, two = read(tmp_path / "r.png", tmp_path / "r.png")
    one.zero_()
    assert two[0].min() == 255
    assert one.is_contiguous()
    assert one.dtype == torch.uint8


@pytest.mark.parametrize("size", [(20_000, 20_000), (9_000, 9_000), (60_000, 2_000), (1, 2**31 - 1)])
def test_absurd_sizes_are_refused_before_they_are_decoded(tmp_path, size):
    """A file of a hundred bytes that says it is huge, on both sides of the image library's own two limits."""
    assert size[0] * size[1] > MAX_IMAGE_PIXELS
    bomb = png(tmp_path / "bomb.png", 1, 1, 8, 0, [b"\0"], size=size)
    with pytest.raises(DecodeError, match=r"bomb\.png: .*(are allowed|decompression bomb)"):
        read(bomb)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
def test_cut_and_damaged_files_are_refused_or_read(tmp_path, suffix):
    """Whatever happens to its bytes, a file is read or refused by name."""
    random = np.random.default_rng(0)
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DecodeError, match=rf"x\.{suffix}: the image cannot be decoded"):
            read(path)
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        outcomes.add(outcome(path))
    assert "refused" in outcomes
    assert outcomes <= {"read", "refused"}


def test_what_is_no_image_is_worded_plainly(tmp_path):
    """Neither the name of a Python object nor the number of an error of the system."""
    path = tmp_path / "x.png"
    path.write_text("no image")
    os.mkfifo(tmp_path / "pipe.png")
    for name, fact in (("x.png", "no PNG, JPEG"), ("pipe.png", "a pipe"), ("none.png", "No such file")):
        for use in (read, size_of_image, is_turned):
            with pytest.raises(DecodeError, match=rf"{name}.*{fact}") as caught:
                use(tmp_path / name)
            assert "<_io" not in str(caught.value)
            assert "Errno" not in str(caught.value)
    with pytest.raises(DecodeError, match="no JPEG, PNG") as caught:
        decode_image(b"no image", "here")
    assert "<_io" not in str(caught.value)


def outcome(path):
    try:
        read(path)
    except DecodeError as error:
        return "refused" if path.name in str(error) else str(error)
    return "read"


def test_missing_images_are_named(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    clip = Clip("c", "s", "test", (tmp_path / "a.png", tmp_path / "b.png"), np.arange(2) / 10)
    for decode in (True, False):
        with pytest.raises(DecodeError, match=r"b\.png"):
            check_media(clip, decode=decode)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DecodeError, match="holds 0 images, 1 are needed"):
        read_frames(Clip("c", "s", "test", tmp_path, np.array([0.0])), [0])
