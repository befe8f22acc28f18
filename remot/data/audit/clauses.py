"""What makes data unfit whatever it asks: wrong facts and pictures, and what is in two splits, as clauses."""

from collections.abc import Iterator, Sequence

from remot.data.audit.leaks import Duplicate


def folder_clauses(facts: Sequence[str], pictures: Sequence[str]) -> Iterator[str]:
    """What built prompts say that is not so, the first of each kind named.

    Args:
        facts: About clips, one sentence each.
        pictures: Pictures that are not what the source shows, one sentence each.
    """
    if facts:
        yield f"{len(facts)} facts are wrong, such as {facts[0]}"
    if pictures:
        yield f"{len(pictures)} pictures are wrong, such as {pictures[0]}"


def split_clauses(shared_scenes: Sequence[str], duplicates: Sequence[Duplicate]) -> Iterator[str]:
    """What two splits have in common, the first of each kind named."""
    if shared_scenes:
        yield f"{len(shared_scenes)} scenes are in two splits, such as {shared_scenes[0]}"
    if duplicates:
        both = duplicates[0].first, duplicates[0].second
        places = " and ".join(f"{split} (clip {clip}, frame {k})" for split, clip, k in both)
        yield f"{len(duplicates)} pairs of pictures are the same in two splits, such as {places}"
