"""Video files opened safely: containers of frames only, no play lists, no frames of absurd sizes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from remot.data.media.images import MAX_IMAGE_PIXELS, require_size
from remot.errors import DecodeError
from remot.files import cause_of, open_regular

#: Before 17.1 PyAV crashes on options for containers that do not list their streams at the beginning.
TAKES_OPTIONS_ALWAYS = tuple(int(part) for part in av.__version__.split(".")[:2]) >= (17, 1)
#: Containers that hold their frames themselves. The codec library also opens play lists, which name other files.
SELF_CONTAINED_FORMATS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "gif", "apng", "mxf", "nut", "ivf", "dv",
    "m4v", "h264", "hevc", "mpegvideo", "mjpeg", "obu", "yuv4mpegpipe",
)  # fmt: skip
#: What the codec library may open: a container from the list above, in a file.
OPENABLE = {"format_whitelist": ",".join(SELF_CONTAINED_FORMATS), "protocol_whitelist": "file"}


@contextmanager
def opened(media: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """An open video and its frame stream; whatever the codec library raises inside becomes a DecodeError."""
    limit = {"max_pixels": str(MAX_IMAGE_PIXELS)}
    try:
        # where the first bytes state the container, the codec library need not probe all that it supports
        with open_regular(media) as file:
            container_format = "mov" if file.read(8)[4:] == b"ftyp" else None
        early = limit | OPENABLE if container_format or TAKES_OPTIONS_ALWAYS else {}
        with av.open(str(media), format=container_format, options=early) as container:
            # play lists, whose frames lie in other files, get here if the container was opened without options
            if not set(container.format.name.split(",")) & set(SELF_CONTAINED_FORMATS):
                msg = f"{media}: is {container.format.name}, which is no container of video; give the video itself"
                raise DecodeError(msg)
            stream = image_stream(media, container)
            require_size(media, stream.width, stream.height)
            stream.codec_context.options = limit
            stream.thread_type = "NONE"
            yield container, stream
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        msg = f"{media}: the video cannot be decoded, it may be missing or cut short ({cause_of(error)})"
        raise DecodeError(msg) from error


def image_stream(media: Path, container: InputContainer) -> VideoStream:
    """The first video stream that is not a cover frame."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    msg = f"{media}: the file holds no video stream"
    raise DecodeError(msg)


def interval_seconds(stream: VideoStream) -> float:
    """Usual time between two frames; 0.04 if the file does not state it."""
    return 1.0 / float(stream.average_rate) if stream.average_rate else 0.04


def tolerance_seconds(stream: VideoStream) -> float:
    """How far from a frame's time it is still found."""
    return 0.501 * max(interval_seconds(stream), float(stream.time_base or 0))
