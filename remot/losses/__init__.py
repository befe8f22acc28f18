"""Losses and advantages: tensors in, a scalar out."""

from remot.losses.advantages import AdvantageOutput, group_advantages
from remot.losses.aggregate import Aggregation, aggregate, masked_mean, normalizer_of, sequence_mean
from remot.losses.credit import teacher_credit
from remot.losses.distillation import Distillation, distillation_loss, generalised_jsd
from remot.losses.entropy import Entropy, entropy_bonus, top_entropy_mask
from remot.losses.estimators import (
    Advantages,
    BatchStdAdvantages,
    GDPOAdvantages,
    GlobalAdvantages,
    GroupAdvantages,
    LeaveOneOutAdvantages,
    MeanOnlyAdvantages,
    RunningStdAdvantages,
)
from remot.losses.functional import cispo_loss, gmpo_loss, grpo_loss, gspo_loss, loss_normalizer, sapo_loss
from remot.losses.importance import ImportanceCorrection, MaskedImportance, TruncatedImportance, importance_ratio
from remot.losses.kl import K1, K2, K3, KL, K3WithK2Gradient, RatioCorrectedK3, kl_k1, kl_k2, kl_k3
from remot.losses.policy import (
    BNPOLoss,
    CISPOLoss,
    DAPOLoss,
    DrGRPOLoss,
    GMPOLoss,
    GRPOLoss,
    GSPOLoss,
    LUSPOLoss,
    NoPolicyLoss,
    PolicyLoss,
    SAPOLoss,
    ScaleRLCISPOLoss,
)
from remot.losses.preference import dpo_loss
from remot.losses.sft import sft_loss
from remot.losses.surrogate import clipped_surrogate, dual_clipped, sequence_ratio

__all__ = [
    "K1",
    "K2",
    "K3",
    "KL",
    "AdvantageOutput",
    "Advantages",
    "Aggregation",
    "BNPOLoss",
    "BatchStdAdvantages",
    "CISPOLoss",
    "DAPOLoss",
    "Distillation",
    "DrGRPOLoss",
    "Entropy",
    "GDPOAdvantages",
    "GMPOLoss",
    "GRPOLoss",
    "GSPOLoss",
    "GlobalAdvantages",
    "GroupAdvantages",
    "ImportanceCorrection",
    "K3WithK2Gradient",
    "LUSPOLoss",
    "LeaveOneOutAdvantages",
    "MaskedImportance",
    "MeanOnlyAdvantages",
    "NoPolicyLoss",
    "PolicyLoss",
    "RatioCorrectedK3",
    "RunningStdAdvantages",
    "SAPOLoss",
    "ScaleRLCISPOLoss",
    "TruncatedImportance",
    "aggregate",
    "cispo_loss",
    "clipped_surrogate",
    "distillation_loss",
    "dpo_loss",
    "dual_clipped",
    "entropy_bonus",
    "generalised_jsd",
    "gmpo_loss",
    "group_advantages",
    "grpo_loss",
    "gspo_loss",
    "importance_ratio",
    "kl_k1",
    "kl_k2",
    "kl_k3",
    "loss_normalizer",
    "masked_mean",
    "normalizer_of",
    "sapo_loss",
    "sequence_mean",
    "sequence_ratio",
    "sft_loss",
    "teacher_credit",
    "top_entropy_mask",
]
