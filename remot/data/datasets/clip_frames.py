"""The annotated frames of a prompt's clip, for environments that show more of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from remot.data.clips.loading import OnBadClip
from remot.data.media.frames import media_files, read_frames
from remot.data.media.unchanged import require_unchanged
from remot.errors import AnnotationError, DecodeError
from remot.structures import Clip


@dataclass(frozen=True, eq=False)
class AnnotatedFrames:
    """See :class:`remot.structures.ClipFrames`.

    Args:
        clip: Where they are.
        on_bad_clip: ``raise`` ends the run at frames that cannot be read.
        surveyed_ns: Files that change later are refused, in ns since 1970; None: never.
    """

    clip: Clip
    on_bad_clip: OnBadClip = "raise"
    surveyed_ns: int | None = None

    @cached_property
    def pts_seconds(self) -> list[float]:
        """N times, strictly increasing."""
        return [float(seconds) for seconds in self.clip.pts_seconds]

    def read(self, frame_indices: Sequence[int]) -> list[Tensor] | None:
        """Images uint8 [3, H, W], without a task's changes of images; None if a clip that cannot be read is skipped.

        Raises:
            DecodeError: If they cannot be read, and the run is to end then.
        """
        try:
            images = read_frames(self.clip, frame_indices)
            if self.surveyed_ns is not None:
                require_unchanged(media_files(self.clip, frame_indices), self.surveyed_ns)
        except (AnnotationError, DecodeError) as error:
            if self.on_bad_clip == "skip":
                return None
            msg = f"clip {self.clip.clip_id}: {error}"
            raise DecodeError(msg, reason=error.reason) from error
        return images
