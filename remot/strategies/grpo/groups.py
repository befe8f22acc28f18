"""Prompts with the completions sampled for them and their rewards."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.rollout.sources import Conversations, encode
from remot.structures import PromptBatch, Question, Rollout


@dataclass(frozen=True, eq=False)
class SampledGroups:
    """P groups of G completions."""

    batch: PromptBatch  # P prompts
    encoded: EncodedPrompts  # the same for the model, images encoded without gradient
    rollout: Rollout
    conversations: Conversations
    rewards: Tensor  # [P, G] totals
    success: Tensor  # [P, G] bool
    terms: Tensor  # [K, P, G] rewards behind the totals, NaN where one does not apply
    weights: tuple[float, ...]  # K
    seconds: float  # time to process, encode and sample
    counterfactual_seconds: float = 0.0  # time to do so for the changed inputs that rewards compare with
    #: What completions were scored against: the batch's, with counterfactuals if there are any.
    questions: Sequence[Question] = ()


def merged_groups(policy: VLMPolicy, sources: Sequence[tuple[SampledGroups, int]]) -> SampledGroups:
    """Groups of several samplings as one batch.

    Args:
        policy: Processes and encodes the prompts once more: padding and images are laid out for a batch as a whole.
        sources: For each group the sampling it is from and its row there.
    """
    samplings = {id(groups): groups for groups, _ in sources}.values()
    batch = PromptBatch(
        images=[groups.batch.images[row] for groups, row in sources],
        questions=[groups.batch.questions[row] for groups, row in sources],
        clip_ids=[groups.batch.clip_ids[row] for groups, row in sources],
        videos=[groups.batch.videos[row] for groups, row in sources],
    )
    rollout = _merged_rollout([(groups.rollout, row) for groups, row in sources], policy.pad_token_id)
    return SampledGroups(
        batch=batch,
        encoded=encode(policy, batch),
        rollout=rollout,
        conversations=Conversations.of_one_turn(rollout),
        rewards=torch.stack([groups.rewards[row] for groups, row in sources]),
        success=torch.stack([groups.success[row] for groups, row in sources]),
        terms=torch.stack([groups.terms[:, row] for groups, row in sources], dim=1),
        weights=sources[0][0].weights,
        seconds=sum(groups.seconds for groups in samplings),
        counterfactual_seconds=sum(groups.counterfactual_seconds for groups in samplings),
        questions=[groups.questions[row] for groups, row in sources],
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
