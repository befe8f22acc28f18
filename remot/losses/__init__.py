"""Losses and advantages: tensors in, a scalar out."""

from remot.losses.advantages import AdvantageOutput, group_advantages
from remot.losses.aggregate import Aggregation, aggregate, masked_mean, normalizer_of, sequence_mean
from remot.losses.grpo import GRPOLoss, clipped_surrogate, grpo_loss
from remot.losses.kl import kl_k1, kl_k2, kl_k3
from remot.losses.sft import sft_loss

__all__ = [
    "AdvantageOutput",
    "Aggregation",
    "GRPOLoss",
    "aggregate",
    "clipped_surrogate",
    "group_advantages",
    "grpo_loss",
    "kl_k1",
    "kl_k2",
    "kl_k3",
    "masked_mean",
    "normalizer_of",
    "sequence_mean",
    "sft_loss",
]
