"""Every clip below a folder, and what to do about the bad ones."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from remot.data.annotations.base import AnnotationReader, ClipSource
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
    clips, errors = [], []
    for _, result in read_each(reader, root, decode=False):
        if isinstance(result, Clip):
            clips.append(result)
        elif on_bad_clip == "raise":
            raise result
        else:
            errors.append(result)
    reasons = "; ".join(str(error) for error in errors[:MAX_NAMED]) or "nothing is annotated"
    if not clips:
        msg = f"{root}: no usable clip: {reasons}; repair the files or give another folder"
        raise AnnotationError(msg)
    if errors:
        warnings.warn(f"{len(errors)} bad clips are left out, {len(clips)} remain: {reasons}", stacklevel=2)
    return clips


def read_each(
    reader: AnnotationReader, root: Path, *, decode: bool
) -> Iterator[tuple[ClipSource, Clip | AnnotationError | DecodeError]]:
    """Each source below ``root`` with its clip, or with what is wrong.

    Args:
        reader: Knows the annotation format; clips it leaves out are left out.
        root: Folder of the annotation files.
        decode: Decode every annotated picture; False only compares times.

    Raises:
        AnnotationError: If there is no source at all.
    """
    taken: dict[str, ClipSource] = {}
    for source in reader.sources(root):
        try:
            clip = reader.read_source(source, root.resolve())
            if clip is None:
                continue
            check_media(clip, decode=decode)
        except (AnnotationError, DecodeError) as error:
            yield source, error
            continue
        if clip.clip_id in taken:
            msg = f"{source}: clip id {clip.clip_id} is taken by {taken[clip.clip_id]}, rename one of them"
            yield source, AnnotationError(msg, reason="duplicate id")
        else:
            taken[clip.clip_id] = source
            yield source, clip
