"""Exact images of annotated frames, and videos that hold them. The only part that uses the codec library.

Times are presentation times counted from a video's first image, so that time 0 is always that image. What is read,
and what "exact" means for each kind of file, is described in ``docs/media.md``.
"""

from remot.data.media.frames import check_media, each_frame, image_size, read_frames
from remot.data.media.video.encoding import write_video
from remot.data.media.video.names import VIDEO_SUFFIXES, video_named, videos_in
from remot.data.media.video.probe import VideoInfo, probe, turn_degrees

__all__ = [
    "VIDEO_SUFFIXES", "VideoInfo", "check_media", "each_frame", "image_size", "probe", "read_frames", "turn_degrees",
    "video_named", "videos_in", "write_video",
]  # fmt: skip
