"""Every clip below a folder, and what to do about the bad ones."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from remot.data.annotations.base import AnnotationReader
from remot.data.video import check_media
from remot.errors import AnnotationError, DecodeError
from remot.structures import Clip

OnBadClip = Literal["raise", "skip"]

#: How many bad clips are named in full.
MAX_NAMED = 5


def load_clips(reader: AnnotationReader, root: Path, on_bad_clip: OnBadClip = "raise") -> list[Clip]:
    """Read all clips and verify, without decoding, that their media hold the annotated frames.

    Args:
        reader: Knows the annotation format.
        root: Folder of the annotation files.
        on_bad_clip: ``raise`` stops at the first malformed annotation or broken media; ``skip`` leaves such clips out
            and warns with their number and names.

    Raises:
        AnnotationError: If an annotation is malformed, or no clip is left.
        DecodeError: If a clip's media do not fit its annotation.
    """
    if on_bad_clip == "raise":
        clips = list(reader.read(root))
        for clip in clips:
            check_media(clip, decode=False)
        return clips
    found = [result for _, result in read_each(reader, root, decode=False)]
    clips = [result for result in found if isinstance(result, Clip)]
    errors = [result for result in found if not isinstance(result, Clip)]
    reasons = "; ".join(str(error) for error in errors[:MAX_NAMED]) or f"there is no {reader.pattern}"
    if not clips:
        msg = f"{root}: no usable clip: {reasons}; repair the files or give another folder"
        raise AnnotationError(msg)
    if errors:
        warnings.warn(f"{len(errors)} bad clips are left out, {len(clips)} remain: {reasons}", stacklevel=2)
    return clips


def read_each(
    reader: AnnotationReader, root: Path, *, decode: bool
) -> Iterator[tuple[Path, Clip | AnnotationError | DecodeError]]:
    """Each annotation file below ``root`` with its clip, or with what is wrong.

    Args:
        reader: Knows the annotation format; files it leaves out are left out.
        root: Folder of the annotation files.
        decode: Decode every annotated picture; False only compares times.
    """
    taken: set[str] = set()
    for file in sorted(root.rglob(reader.pattern)):
        try:
            clip = reader.read_clip(file, root.resolve())
            if clip is None:
                continue
            check_media(clip, decode=decode)
        except (AnnotationError, DecodeError) as error:
            yield file, error
            continue
        if clip.clip_id in taken:
            yield file, AnnotationError(f"{file}: clip id {clip.clip_id} is taken by another file, rename one")
        else:
            taken.add(clip.clip_id)
            yield file, clip
