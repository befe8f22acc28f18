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
    errors: list[Exception] = []
    clips = list(_good_clips(reader, root, errors))
    reasons = "; ".join(str(error) for error in errors[:MAX_NAMED]) or f"there is no {reader.pattern}"
    if not clips:
        msg = f"{root}: no usable clip: {reasons}; repair the files or give another folder"
        raise AnnotationError(msg)
    if errors:
        warnings.warn(f"{len(errors)} bad clips are left out, {len(clips)} remain: {reasons}", stacklevel=2)
    return clips


def _good_clips(reader: AnnotationReader, root: Path, errors: list[Exception]) -> Iterator[Clip]:
    """The clips that pass every check; what is wrong with the others goes to ``errors``."""
    taken: set[str] = set()
    for file in sorted(root.rglob(reader.pattern)):
        try:
            clip = reader.read_clip(file, root.resolve())
            if clip is None:
                continue
            check_media(clip, decode=False)
        except (AnnotationError, DecodeError) as error:
            errors.append(error)
            continue
        if clip.clip_id in taken:
            errors.append(AnnotationError(f"{file}: clip id {clip.clip_id} is taken by another file, rename one"))
        else:
            taken.add(clip.clip_id)
            yield clip
