"""Videos whose images carry their number, and independent ways of reading them."""

import struct
from fractions import Fraction

import av
import numpy as np
import torch

WIDTH, HEIGHT, BLOCK = 64, 48, 16
NUM_BITS = 12


def numbered_images(num_images):
    """Bits of the image's number as light and dark blocks on a background that moves, [N, H, W, 3]."""
    background = np.random.default_rng(0).integers(0, 60, (HEIGHT, 2 * WIDTH, 3), dtype=np.uint8)
    images = np.stack([np.roll(background, -2 * number, axis=1)[:, :WIDTH] for number in range(num_images)])
    for number, image in enumerate(images):
        for bit in range(NUM_BITS):
            image[_block(bit)] = 235 if number >> bit & 1 else 20
    return images


def number_of(image):
    """The number that an image [3, H, W] carries."""
    return sum((image[:, *_block(bit)].float().mean() > 128).item() << bit for bit in range(NUM_BITS))


def _block(bit):
    row, column = divmod(bit, WIDTH // BLOCK)
    return tuple(slice(place * BLOCK + 4, place * BLOCK + 12) for place in (row, column))


def encode(path, images, codec="libx264", *, options=None, fps=10, pts=None, muxing=None, **context):
    """Write a video.

    Args:
        path: The file, whose suffix chooses the container.
        images: [N, H, W, 3].
        codec: Encoder.
        options: Of the encoder.
        fps: Images per second.
        pts: A time in milliseconds for each image instead of ``fps``.
        muxing: Options of the container.
        context: Attributes of the encoder, such as ``max_b_frames``.
    """
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = context.pop("pix_fmt", "yuv420p")
        stream.thread_count = 1
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = int(pts[number]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def sequential_decode(path):
    """Times from the first image on and images of the first video stream, by time; decoded from start to end."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        unit = float(stream.time_base)
        decoded = [
            (frame.pts, torch.from_numpy(frame.to_ndarray(format="rgb24").copy()).permute(2, 0, 1))
            for frame in container.decode(stream)
        ]
    first = decoded[0][0]
    decoded.sort(key=lambda timed: timed[0])
    return np.array([(pts - first) * unit for pts, _ in decoded]), [image for _, image in decoded]


def replace_in_box(path, names, make_content):
    """Put other content into an mp4 box that lies behind all media data; ``names`` lead to it from the top."""
    data = path.read_bytes()
    path.write_bytes(_replaced(data, names, make_content))


def _replaced(data, names, make_content):
    start = 0
    while start < len(data):
        (size,), name = struct.unpack(">I", data[start : start + 4]), data[start + 4 : start + 8].decode()
        if name == names[0]:
            old = data[start + 8 : start + size]
            new = _replaced(old, names[1:], make_content) if names[1:] else make_content(old)
            return data[:start] + struct.pack(">I", len(new) + 8) + name.encode() + new + data[start + size :]
        start += size
    raise KeyError(names[0])


def edit_list(*segments):
    """Content of an ``elst`` box: (duration in the file's clock, first time in the track's clock) of each segment."""
    entries = b"".join(struct.pack(">IiI", duration, start, 0x10000) for duration, start in segments)
    return struct.pack(">II", 0, len(segments)) + entries
