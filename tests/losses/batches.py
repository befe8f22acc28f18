"""Random batches for tests of losses, and every loss beside its literal formula."""

from functools import partial

import torch

from remot.losses import (
    BNPOLoss,
    CISPOLoss,
    DAPOLoss,
    DrGRPOLoss,
    GMPOLoss,
    GRPOLoss,
    GSPOLoss,
    LUSPOLoss,
    SAPOLoss,
    ScaleRLCISPOLoss,
)
from tests.reference import losses as reference

P, G, T = 3, 4, 5
TENSORS = ("logprobs", "old_logprobs", "ref_logprobs", "advantages", "completion_mask")

#: Each loss with its default constants where they differ at these distances, and its formula.
FAMILY = {
    "grpo": (
        partial(GRPOLoss, 0.1, 0.3),
        partial(reference.ppo_tokens, low=0.1, high=0.3),
        reference.sequence_mean,
    ),
    "grpo_tokens": (
        partial(GRPOLoss, aggregation="token_mean"),
        partial(reference.ppo_tokens, low=0.2, high=0.2),
        reference.token_mean,
    ),
    "grpo_delta": (
        partial(GRPOLoss, delta=1.4),
        partial(reference.ppo_tokens, low=0.2, high=0.2, delta=1.4),
        reference.sequence_mean,
    ),
    "grpo_dual_clip": (
        partial(GRPOLoss, dual_clip=1.4),
        partial(reference.dual_clip_tokens, low=0.2, high=0.2, bound=1.4),
        reference.sequence_mean,
    ),
    "bnpo": (BNPOLoss, partial(reference.ppo_tokens, low=0.2, high=0.2), reference.token_mean),
    "dapo": (DAPOLoss, partial(reference.ppo_tokens, low=0.2, high=0.28), reference.token_mean),
    "dr_grpo": (
        partial(DrGRPOLoss, length=7),
        partial(reference.ppo_tokens, low=0.2, high=0.2),
        reference.constant_length(7),
    ),
    "gspo": (GSPOLoss, partial(reference.gspo_tokens, low=3e-4, high=4e-4), reference.sequence_mean),
    "gspo_wide": (
        partial(GSPOLoss, 0.2, 0.3),
        partial(reference.gspo_tokens, low=0.2, high=0.3),
        reference.sequence_mean,
    ),
    "luspo": (
        partial(LUSPOLoss, 0.2, 0.3),
        partial(reference.gspo_tokens, low=0.2, high=0.3),
        reference.length_weighted,
    ),
    "luspo_default": (LUSPOLoss, partial(reference.gspo_tokens, low=2e-3, high=2.5e-3), reference.length_weighted),
    "gmpo": (GMPOLoss, partial(reference.gmpo_tokens, low=0.4, high=0.4), reference.sequence_mean),
    "gmpo_tight": (
        partial(GMPOLoss, 0.1, 0.2),
        partial(reference.gmpo_tokens, low=0.1, high=0.2),
        reference.sequence_mean,
    ),
    "cispo": (CISPOLoss, partial(reference.cispo_tokens, low=1.0, high=0.2), reference.token_mean),
    "cispo_both": (
        partial(CISPOLoss, 0.1, 0.3),
        partial(reference.cispo_tokens, low=0.1, high=0.3),
        reference.token_mean,
    ),
    "scalerl_cispo": (
        partial(ScaleRLCISPOLoss, 1.2),
        partial(reference.scalerl_cispo_tokens, high=1.2),
        reference.token_mean,
    ),
    "sapo": (SAPOLoss, partial(reference.sapo_tokens, positive=1.0, negative=1.05), reference.sequence_mean),
}
#: Losses whose value has the gradient they descend; CISPO weighs a gradient instead.
DIFFERENTIABLE = [name for name in FAMILY if "cispo" not in name]


def random_batch(seed=0, shape=(P, G, T), spread=0.4):
    """Policies that differ enough for some tokens to be clipped, and completions of 0 to T tokens."""
    generator = torch.Generator().manual_seed(seed)
    num_tokens = shape[-1]

    def normal(*size):
        return torch.randn(*size, dtype=torch.float64, generator=generator)

    old = -normal(*shape).abs()
    lengths = torch.randint(0, num_tokens + 1, shape[:2], generator=generator)
    lengths[0, 0], lengths[0, 1] = 0, num_tokens
    return {
        "logprobs": old + spread * normal(*shape),
        "old_logprobs": old,
        "ref_logprobs": old + spread * normal(*shape),
        "advantages": normal(*shape[:2]),
        "completion_mask": torch.arange(num_tokens) < lengths[..., None],
    }


def as_lists(batch):
    names = ("logprobs", "old", "ref", "advantages", "mask")
    return {short: batch[name].tolist() for short, name in zip(names, TENSORS, strict=True)}


def value_and_gradient(loss, batch, **arguments):
    logprobs = batch["logprobs"].clone().requires_grad_()
    output = loss(**(batch | {"logprobs": logprobs}), **arguments)
    output.loss.backward()
    return output, logprobs.grad
