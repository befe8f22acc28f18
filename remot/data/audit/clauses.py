"""What makes a folder of built prompts unfit whatever it asks, as clauses."""

from collections.abc import Iterator, Sequence


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
