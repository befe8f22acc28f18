"""Colours of a video are those of the standard that its stream names; the lower bound of PyAV rests on this test."""

import av
import numpy as np
import pytest

from remot.data.media import read_frames
from remot.structures import Clip
from tests.helpers import assert_close

SIZE = 64
#: Y, Cb, Cr of red, green, blue and two others, in 8 bits.
COLOURS = ((81, 90, 240), (145, 54, 34), (41, 240, 110), (120, 128, 180), (63, 102, 240))
#: Codes of H.273, and K_R and K_B of ITU-R BT.709, section 3 and BT.601, section 2.5.1.
BT709, BT601, UNKNOWN = (1, 0.2126, 0.0722), (6, 0.299, 0.114), (None, 0.299, 0.114)
LIMITED, FULL = 1, 2


def rgb_of(colour, k_red, k_blue, colour_range):
    """By the standard: from 8-bit codes to E'_Y, E'_CB, E'_CR, and from there to R, G, B in 0 to 255."""
    y, cb, cr = (np.array(colour) - (0, 128, 128)).astype(float)
    if colour_range == LIMITED:
        y, cb, cr = (y - 16) * 255 / 219, cb * 255 / 224, cr * 255 / 224
    red, blue = y + 2 * (1 - k_red) * cr, y + 2 * (1 - k_blue) * cb
    green = (y - k_red * red - k_blue * blue) / (1 - k_red - k_blue)
    return np.clip([red, green, blue], 0, 255)


def write(path, space, colour_range, size):
    """A lossless video, each frame of one colour, whose stream names its colour space and range."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for colour in COLOURS:
            planes = [np.full((size[0] * size[1]) >> (2 * (k > 0)), value, np.uint8) for k, value in enumerate(colour)]
            frame = av.VideoFrame.from_ndarray(np.concatenate(planes).reshape(-1, size[0]), format="yuv420p")
            for named in (frame, stream.codec_context) if space else ():
                named.colorspace, named.color_range = space, colour_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("standard", "colour_range", "size"),
    [
        pytest.param(BT709, LIMITED, (SIZE, SIZE), id="709"),
        pytest.param(BT709, FULL, (SIZE, SIZE), id="709 full"),
        pytest.param(BT601, LIMITED, (SIZE, SIZE), id="601"),
        pytest.param(BT601, FULL, (SIZE, SIZE), id="601 full"),
        pytest.param(UNKNOWN, LIMITED, (SIZE, SIZE), id="unnamed is 601"),
        pytest.param(UNKNOWN, LIMITED, (1280, 720), id="unnamed is 601 at any size"),
    ],
)
def test_colours_are_the_standards(tmp_path, standard, colour_range, size):
    space, k_red, k_blue = standard
    write(tmp_path / "v.mp4", space, colour_range, size)
    clip = Clip("c", "s", "test", tmp_path / "v.mp4", np.arange(len(COLOURS)) / 10)
    read = np.stack([image[:, size[1] // 2, size[0] // 2].numpy() for image in read_frames(clip, range(len(COLOURS)))])
    expected = np.stack([rgb_of(colour, k_red, k_blue, colour_range) for colour in COLOURS])
    assert_close(read.astype(float), expected, atol=2.0, rtol=0)  # fixed-point arithmetic of the conversion
