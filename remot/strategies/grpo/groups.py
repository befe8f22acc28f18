"""Prompts with the completions drawn for them and their rewards."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.structures import PromptBatch, Question, Rollout


@dataclass(frozen=True, eq=False)
class Draw:
    """P groups of G completions.

    Args:
        batch: P prompts.
        encoded: The same for the model, pictures encoded without gradient.
        rollout: Their completions.
        rewards: [P, G] totals.
        success: [P, G] bool.
        terms: [K, P, G] rewards behind the totals, NaN where one does not apply.
        weights: Their K weights.
        seconds: Time to process, encode and sample.
        counterpart_seconds: Time to do so for the changed inputs that rewards compare with.
        questions: What completions were scored against: the batch's, with counterparts if there are any.
    """

    batch: PromptBatch
    encoded: EncodedPrompts
    rollout: Rollout
    rewards: Tensor
    success: Tensor
    terms: Tensor
    weights: tuple[float, ...]
    seconds: float
    counterpart_seconds: float = 0.0
    questions: Sequence[Question] = ()


def merged(policy: VLMPolicy, sources: Sequence[tuple[Draw, int]]) -> Draw:
    """One draw of groups from several.

    Args:
        policy: Processes and encodes the prompts once more: padding and pictures are laid out for a batch as a whole.
        sources: For each group the draw it is from and its row there.
    """
    draws = {id(draw): draw for draw, _ in sources}.values()
    batch = PromptBatch(
        images=[draw.batch.images[row] for draw, row in sources],
        questions=[draw.batch.questions[row] for draw, row in sources],
        clip_ids=[draw.batch.clip_ids[row] for draw, row in sources],
        videos=[draw.batch.videos[row] for draw, row in sources],
    )
    with torch.no_grad():
        encoded = policy.encode(policy.process(batch))
    return Draw(
        batch=batch,
        encoded=encoded,
        rollout=_merged_rollout([(draw.rollout, row) for draw, row in sources], policy.pad_token_id),
        rewards=torch.stack([draw.rewards[row] for draw, row in sources]),
        success=torch.stack([draw.success[row] for draw, row in sources]),
        terms=torch.stack([draw.terms[:, row] for draw, row in sources], dim=1),
        weights=sources[0][0].weights,
        seconds=sum(draw.seconds for draw in draws),
        counterpart_seconds=sum(draw.counterpart_seconds for draw in draws),
        questions=[draw.questions[row] for draw, row in sources],
    )


def _merged_rollout(sources: Sequence[tuple[Rollout, int]], pad_token_id: int) -> Rollout:
    """Groups of several rollouts, padded to the longest completion."""
    num_tokens = max(rollout.token_ids.shape[-1] for rollout, _ in sources)

    def rows(name: str, padding: float) -> Tensor:
        tensors = [getattr(rollout, name)[row] for rollout, row in sources]  # each [G, T of its rollout]
        pad = torch.nn.functional.pad
        return torch.stack([pad(tensor, (0, num_tokens - tensor.shape[-1]), value=padding) for tensor in tensors])

    return Rollout(
        token_ids=rows("token_ids", pad_token_id),
        completion_mask=rows("completion_mask", 0),
        logprobs=rows("logprobs", 0.0),
        texts=[rollout.texts[row] for rollout, row in sources],
        finished=torch.stack([rollout.finished[row] for rollout, row in sources]),
    )
