"""From samples to a batch."""

from collections.abc import Sequence

from remot.data.dataset import Sample
from remot.structures import PromptBatch


def collate_prompts(samples: Sequence[Sample]) -> PromptBatch:
    """One batch of P samples, whose pictures and videos may differ in number and size."""
    return PromptBatch(
        images=[sample.images for sample in samples],
        questions=[sample.question for sample in samples],
        clip_ids=[sample.clip_id for sample in samples],
        videos=[sample.videos for sample in samples],
    )
