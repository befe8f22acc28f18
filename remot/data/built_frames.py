"""The frames of built prompts of tasks: their names, and each of them decoded and written once."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from remot.data.built_pictures import PictureWriter, picture_name, short_hash
from remot.data.task_records import BuiltTaskPrompt
from remot.data.tasks.base import PictureEdit, TaskPlan
from remot.structures import Clip


@dataclass(frozen=True, eq=False)
class PlannedPrompt:
    """A prompt before its frames are written.

    Args:
        clip: The source.
        plan: Frames and reference.
        built: What its line holds.
    """

    clip: Clip
    plan: TaskPlan
    built: BuiltTaskPrompt


def frame_names(clip_id: str, frames: Sequence[int], edit: PictureEdit | None, prompt_id: str) -> tuple[str, ...]:
    """Paths of frames; those of an edit have a hash of it behind the number, or of the prompt if it has no values."""
    marked = ""
    if edit is not None:
        marked = f"-{short_hash(repr(edit) if dataclasses.is_dataclass(edit) else prompt_id)}"
    names = (picture_name(clip_id, frame, None) for frame in frames)
    return tuple(f"{name.removesuffix('.png')}{marked}.png" for name in names)


class FrameFolder(PictureWriter):
    """Writes the frames of prompts."""

    def add(self, planned: Sequence[PlannedPrompt], progress: Callable[[int], None]) -> None:
        """Write the frames that are new, clip by clip, so that a video is not opened for each prompt.

        Raises:
            DecodeError: If a frame cannot be decoded.
        """
        by_clip: dict[str, list[PlannedPrompt]] = defaultdict(list)
        for one in planned:
            by_clip[one.built.clip_id].append(one)
        done = 0
        for of_clip in by_clip.values():
            self._write_clip(of_clip[0].clip, of_clip)
            done += len(of_clip)
            progress(done)

    def _write_clip(self, clip: Clip, prompts: Sequence[PlannedPrompt]) -> None:
        wanted = {
            name: (frame, one.plan.edit)
            for one in prompts
            for frame, name in zip(one.built.frames, one.built.images, strict=True)
        }
        for _, picture, names in self.new_frames(clip, {name: frame for name, (frame, _) in wanted.items()}):
            for name in names:
                edit = wanted[name][1]
                self.write(name, picture if edit is None else edit(picture))
