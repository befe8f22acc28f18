"""Images as they are shown: masks from boxes and from files, transforms, and what cannot be shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from remot.data.media.masks import draw_mask
from remot.data.media.transforms import read_shown, show
from remot.errors import DecodeError
from remot.structures import MaskOf, ObjectTrack, Warp
from tests.data.handmade import clip_of
from tests.data.worlds import with_images

IMAGE = torch.zeros(3, 6, 8, dtype=torch.uint8)
INSIDE = np.zeros((6, 8), dtype=bool)
INSIDE[1:4, 2:7] = True


def boxed(*box):
    return ObjectTrack(np.array([box], dtype=float))


def masked(file, value=255):
    return ObjectTrack(np.array([(2.0, 1, 7, 4)]), masks=(file,), mask_value=value)


def white(mask):
    """Rows and columns, end exclusive, of what is white; nothing else may be."""
    assert mask.dtype == torch.uint8
    assert set(mask.unique().tolist()) <= {0, 255}
    assert torch.equal(mask[0], mask[1])
    assert torch.equal(mask[0], mask[2])
    rows, columns = np.nonzero(mask[0].numpy())
    assert len(rows) == (rows.max() + 1 - rows.min()) * (columns.max() + 1 - columns.min())
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


# -- masks from boxes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((2, 1, 7, 4), (1, 4, 2, 7)),
        ((0, 0, 8, 6), (0, 6, 0, 8)),
        ((2.4, 1.6, 6.6, 4.4), (2, 4, 2, 7)),  # middles 2.5 to 6.5 and 2.5 to 3.5 lie inside
        ((2.5, 1.5, 3.5, 2.5), (1, 2, 2, 3)),  # a middle on the left or upper edge counts, on the other it does not
        ((1.5, 2.5, 2.5, 3.5), (2, 3, 1, 2)),
        ((-5, -5, 3, 2), (0, 2, 0, 3)),
        ((6, 4, 100, 100), (4, 6, 6, 8)),
    ],
)
def test_a_box_covers_the_pixels_whose_middles_lie_in_it(box, expected):
    mask = draw_mask(boxed(*box), 0, IMAGE)
    assert mask.shape == IMAGE.shape
    assert white(mask) == expected


@pytest.mark.parametrize("x", np.arange(0, 7, 0.25))
def test_a_box_a_pixel_wide_is_never_black(x):
    top, bottom, left, right = white(draw_mask(boxed(x, 2, x + 1, 3), 0, IMAGE))
    assert (bottom - top, right - left) == (1, 1)


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        ((9, 1, 12, 4), "covers no pixel of its image of 8x6"),
        ((-4, 1, 0.2, 4), "covers no pixel"),
        ((np.nan,) * 4, "not visible in frame 0"),
    ],
)
def test_an_empty_box_is_reported(box, sentence):
    with pytest.raises(DecodeError, match=sentence):
        draw_mask(boxed(*box), 0, IMAGE)


# -- masks from files --------------------------------------------------------------------------------------------------


def grey(values):
    return Image.fromarray(values.astype(np.uint8))


def palette(values):
    image = Image.fromarray(values.astype(np.uint8))
    image = image.convert("P") if image.mode != "P" else image
    image.putpalette([0, 0, 0, 250, 10, 10] + [7] * 30)
    return image


def write(folder, image, name="mask.png"):
    image.save(folder / name)
    return folder / name


def test_grey_mask(tmp_path):
    file = write(tmp_path, grey(INSIDE * 255))
    assert white(draw_mask(masked(file), 0, IMAGE)) == (1, 4, 2, 7)


def test_one_of_several_objects_in_a_grey_mask(tmp_path):
    values = INSIDE * 3
    values[5, 0] = 4
    file = write(tmp_path, grey(values))
    assert white(draw_mask(masked(file, 3), 0, IMAGE)) == (1, 4, 2, 7)
    assert white(draw_mask(masked(file, 4), 0, IMAGE)) == (5, 6, 0, 1)


def test_palette_mask_counts_by_index_not_by_colour(tmp_path):
    """Index 1 is red; its grey value would be another number."""
    image = Image.new("P", (8, 6))
    image.putpalette([0, 0, 0, 250, 10, 10])
    image.putdata(INSIDE.astype(int).ravel().tolist())
    file = write(tmp_path, image)
    with Image.open(file) as read:
        assert read.mode == "P"
    assert white(draw_mask(masked(file, 1), 0, IMAGE)) == (1, 4, 2, 7)


def test_sixteen_bit_mask(tmp_path):
    file = write(tmp_path, Image.fromarray((INSIDE * 40000).astype(np.uint16)))
    assert white(draw_mask(masked(file, 40000), 0, IMAGE)) == (1, 4, 2, 7)


def test_black_and_white_and_colour_masks_count_by_grey_level(tmp_path):
    one_bit = write(tmp_path, grey(INSIDE * 255).convert("1"), "bit.png")
    with Image.open(one_bit) as read:
        assert read.mode == "1"
    colour = write(tmp_path, grey(INSIDE * 255).convert("RGB"), "colour.png")
    for file in (one_bit, colour):
        assert white(draw_mask(masked(file), 0, IMAGE)) == (1, 4, 2, 7)


def test_a_folder_of_masks_is_taken_in_name_order(tmp_path):
    for number in range(3):
        values = np.zeros((6, 8))
        values[number, number] = 255
        write(tmp_path, grey(values), f"{number:03d}.png")
    track = ObjectTrack(np.zeros((3, 4)), masks=tmp_path)
    assert [white(draw_mask(track, frame, IMAGE))[0] for frame in (2, 0, 1)] == [2, 0, 1]
    with pytest.raises(DecodeError, match="holds 3 images, 4 are needed"):
        draw_mask(track, 3, IMAGE)


def test_masks_that_cannot_be_shown_are_named(tmp_path):
    small = write(tmp_path, grey(np.full((3, 4), 255)), "small.png")
    with pytest.raises(DecodeError, match=r"small\.png: the mask has 4x3 pixels, its image 8x6"):
        draw_mask(masked(small), 0, IMAGE)
    empty = write(tmp_path, grey(np.zeros((6, 8))), "empty.png")
    with pytest.raises(DecodeError, match=r"empty\.png: no pixel has the value 255"):
        draw_mask(masked(empty), 0, IMAGE)
    torn = tmp_path / "torn.png"
    torn.write_bytes(small.read_bytes()[:40])
    with pytest.raises(DecodeError, match=r"torn\.png: the image cannot be decoded"):
        draw_mask(masked(torn), 0, IMAGE)
    with pytest.raises(DecodeError, match=r"gone\.png: the image cannot be decoded"):
        draw_mask(masked(tmp_path / "gone.png"), 0, IMAGE)
    with pytest.raises(DecodeError, match="nowhere: the folder of masks cannot be listed"):
        draw_mask(ObjectTrack(np.zeros((1, 4)), masks=tmp_path / "nowhere"), 0, IMAGE)
    with pytest.raises(DecodeError, match="there are 1 masks, frame 1 has none"):
        draw_mask(replace(masked(small), boxes_xyxy=np.zeros((2, 4))), 1, IMAGE)


# -- triplets ----------------------------------------------------------------------------------------------------------


def levels(count):
    """Frame k is grey level 10 k, its left column 10 k + 5."""
    found = []
    for k in range(count):
        image = torch.full((3, 6, 8), 10 * k, dtype=torch.uint8)
        image[:, :, 0] += 5
        found.append(image)
    return found


@pytest.fixture
def clip(tmp_path):
    track = ObjectTrack(np.array([(k, 1.0, k + 2, 4) for k in range(5)]))
    return with_images(clip_of(5, objects={"ball": track}), tmp_path, levels(5))


def test_images_come_in_the_order_of_the_triplet(clip):
    shown, decoded_size = read_shown(clip, (4, 0, 2), (None, None, None))
    assert [int(image[0, 0, 7]) for image in shown] == [40, 0, 20]
    assert decoded_size == (8, 6)


def test_each_image_has_its_own_transform(clip):
    """A mirror for the first, nothing for the second, a mask drawn at the third's frame."""
    mirror = Warp("mirror", (-1, 0, 8, 0, 1, 0, 0, 0, 1), (8, 6))
    shown, _ = read_shown(clip, (1, 3, 1), (mirror, None, MaskOf("ball")))
    assert shown[0][0, 0].tolist() == [10] * 7 + [15]
    assert shown[1][0, 0].tolist() == [35] + [30] * 7
    assert white(shown[2]) == (1, 4, 1, 3)


def test_an_image_that_is_not_transformed_is_not_copied():
    assert show(IMAGE, None, clip_of(1), 0) is IMAGE
