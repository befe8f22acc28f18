"""Every clip below a folder, and what to do about the bad ones."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from remot.data.annotations.base import AnnotationReader, ClipSource
from remot.data.video import check_media
from remot.errors import AnnotationError, DecodeError
from remot.structures import Clip

OnBadClip = Literal["raise", "skip"]

#: How many bad clips are named in full.
MAX_NAMED = 5


@dataclass(frozen=True)
class Loaded:
    """What was found below a folder.

    Args:
        clips: The usable clips.
        faults: Sources of bad clips, with what is wrong.
        num_left_out: Clips that the reader leaves out on purpose.
    """

    clips: list[Clip]
    faults: list[tuple[ClipSource, AnnotationError | DecodeError]]
    num_left_out: int = 0


def load_clips(
    reader: AnnotationReader,
    root: Path,
    on_bad_clip: OnBadClip = "raise",
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Loaded:
    """Read all clips and verify, without decoding, that their media hold the annotated frames.

    Args:
        reader: Knows the annotation format.
        root: Folder of the annotation files.
        on_bad_clip: ``raise`` stops at the first malformed annotation or broken media; ``skip`` leaves such clips out
            and warns with their number and names.
        progress: Told how many sources of how many have been read.

    Raises:
        AnnotationError: If an annotation is malformed, or no clip is left.
        DecodeError: If a clip's media do not fit its annotation.
    """
    sources = reader.sources(root)
    loaded = Loaded([], [])
    for done, (source, result) in enumerate(read_each(reader, root, decode=False, sources=sources), 1):
        progress(done, len(sources))
        if isinstance(result, Clip):
            loaded.clips.append(result)
        elif on_bad_clip == "raise":
            raise result
        else:
            loaded.faults.append((source, result))
    loaded = replace(loaded, num_left_out=len(sources) - len(loaded.clips) - len(loaded.faults))
    _report(loaded, root)
    return loaded


def _report(loaded: Loaded, root: Path) -> None:
    reasons = "; ".join(str(error) for _, error in loaded.faults[:MAX_NAMED]) or "the reader leaves all of them out"
    if not loaded.clips:
        msg = f"{root}: no usable clip: {reasons}; repair the files or give another folder"
        raise AnnotationError(msg)
    if loaded.faults:
        told = f"{len(loaded.faults)} bad clips are left out, {len(loaded.clips)} remain: {reasons}"
        warnings.warn(told, stacklevel=3)


def read_each(
    reader: AnnotationReader, root: Path, *, decode: bool, sources: Sequence[ClipSource] | None = None
) -> Iterator[tuple[ClipSource, Clip | AnnotationError | DecodeError]]:
    """Each source below ``root`` with its clip, or with what is wrong.

    Args:
        reader: Knows the annotation format; clips it leaves out are left out.
        root: Folder of the annotation files.
        decode: Decode every annotated picture; False only compares times.
        sources: The reader's sources, if they are known already.

    Raises:
        AnnotationError: If there is no source at all.
    """
    taken: dict[str, ClipSource] = {}
    for source in reader.sources(root) if sources is None else sources:
        try:
            clip = reader.read_source(source, root.resolve())
            if clip is None:
                continue
            _require_names(source, clip)
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


def _require_names(source: ClipSource, clip: Clip) -> None:
    """Refuse names that cannot be written to a file, which JSON can hold all the same.

    Raises:
        AnnotationError: If one holds a lone surrogate.
    """
    for name in (clip.clip_id, clip.scene_id, clip.domain, *clip.objects, *clip.effectors):
        if not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name):
            msg = f"{source}: the name {ascii(name)[:80]} holds half of a character (a lone surrogate), rename it"
            raise AnnotationError(msg)
