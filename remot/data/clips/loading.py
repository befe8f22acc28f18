"""Every clip below a folder, each good or bad."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from remot.data.annotations.base import AnnotationReader, ClipSource
from remot.data.media import check_media
from remot.data.media.masks import check_masks
from remot.data.media.notes import check_boxes
from remot.errors import AnnotationError, DecodeError
from remot.files import cause_of
from remot.structures import Clip

OnBadClip = Literal["raise", "skip"]

#: How many bad clips are named in full.
MAX_NAMED = 5


def read_each(
    reader: AnnotationReader, root: Path, *, decode: bool, sources: Sequence[ClipSource] | None = None
) -> Iterator[tuple[ClipSource, Clip | AnnotationError | DecodeError]]:
    """Each source below ``root`` with its clip, or with what is wrong.

    Args:
        reader: Reads the annotation format; clips that it leaves out are left out here, too.
        root: Folder of the annotation files.
        decode: Decode every annotated image and mask; False only compares times.
        sources: The reader's sources, if they are known already.

    Raises:
        AnnotationError: If there is no source at all.
    """
    taken: dict[str, ClipSource] = {}
    for source in reader.sources(root) if sources is None else sources:
        try:
            clip = reader.clip_of(source, root.resolve())
            if clip is None:
                continue
            # JSON can hold names that cannot be written to a file
            for name in (clip.clip_id, clip.scene_id, clip.domain, *clip.objects, *clip.effectors):
                if not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name):
                    named = f"{source}: the name {ascii(name)[:80]}"
                    msg = f"{named} holds half of a character (a lone surrogate), rename it"
                    raise AnnotationError(msg)  # noqa: TRY301 - yielded below
            check_media(clip, decode=decode)
            check_boxes(clip)
            if decode:
                check_masks(clip)
        except (AnnotationError, DecodeError) as error:
            yield source, error
            continue
        except OSError as error:  # what the system says of a path of an annotation
            msg = f"{source}: its media cannot be read ({cause_of(error)[:200]})"
            yield source, AnnotationError(msg, reason="missing media")
            continue
        if clip.clip_id in taken:
            msg = f"{source}: clip id {clip.clip_id} is taken by {taken[clip.clip_id]}, rename one of them"
            yield source, AnnotationError(msg, reason="duplicate id")
        else:
            taken[clip.clip_id] = source
            yield source, clip
    reader.report()
