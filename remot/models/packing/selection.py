"""Whether a model computes the same in packed rows as one completion at a time, tested with the first prompts.

Sharing a prompt takes a model whose attention does what it is asked to. Most do; layers that carry a state from token
to token, or kernels of their own, do not, and would silently produce wrong results. Layers of the first kind are known
from the model's configuration, and nothing is compared then.
"""

import logging
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from remot.distributed import least_over_processes
from remot.models.packing.attention import KERNEL_NAME
from remot.seeding import numpy_generator

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedConfig, PreTrainedModel

    from remot.models.inputs.prompts import EncodedPrompts
    from remot.models.packing.kv_cache import SharedPromptCache

_LOG = logging.getLogger(__name__)

#: The type of a layer, as transformers names it, that a packed row can be computed by.
FULL_ATTENTION = "full_attention"
#: Completions, and tokens of each, that are compared.
PROBE_COMPLETIONS, PROBE_TOKENS = 2, 6
#: Prompts that are compared.
PROBE_PROMPTS = 2
#: Largest mean difference of two log-probabilities, by bytes of a number. In float32 rounding is some 1e-6. Half
#: precision rounds by some hundredths; a completion that sees another's tokens is off by more in a trained model.
TOLERANCES = {4: 1e-4, 2: 0.1}


PrefixSharing = Literal["auto", "on", "off"]


class _ScoringPolicy(Protocol):
    """What the comparison needs of a :class:`remot.models.policy.VLMPolicy`, which imports this module."""

    prefix_sharing: PrefixSharing
    logit_bias: Tensor

    @property
    def base_name(self) -> str: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def core(self) -> "PreTrainedModel": ...
    def unshared_reason(self, encoded: "EncodedPrompts") -> str | None: ...
    def gathered(self) -> AbstractContextManager[None]: ...
    def evaluating(self) -> AbstractContextManager[None]: ...
    def scored(self, encoded: "EncodedPrompts", completion_ids: Tensor, *, shares_prompts: bool) -> Tensor: ...
    def prefill(
        self, encoded: "EncodedPrompts", num_columns: int | None = None
    ) -> "tuple[Tensor, SharedPromptCache]": ...
    def decode_step(self, token_ids: Tensor, position: Tensor, cache: "Cache") -> Tensor: ...
    def logits(self, hidden: Tensor) -> Tensor: ...


@dataclass(eq=False)
class SharingDecision:
    """Decides once, with the first prompts, whether completions share them."""

    _own: bool | None = field(default=None, init=False)
    _is_common: bool = field(default=False, init=False)

    def of(self, policy: _ScoringPolicy, encoded: "EncodedPrompts") -> bool:
        """This process's decision."""
        if self._own is None:
            if reason := policy.unshared_reason(encoded):
                name = policy.base_name
                _LOG.warning("%s: computing each completion behind a copy of its prompt: %s", name, reason)
                self._own = False
            elif policy.prefix_sharing == "auto":
                with policy.gathered():
                    self._own = is_exact(policy, encoded)
            else:
                self._own = policy.prefix_sharing == "on"
        return self._own

    def common(self, policy: _ScoringPolicy, encoded: "EncodedPrompts") -> bool:
        """Whether all processes have decided to share; all of them must make the first call.

        Processes see different prompts, so that their comparisons may end differently.
        """
        own = self.of(policy, encoded)
        if self._is_common:
            return own
        common = bool(least_over_processes(int(own), policy.device))
        if common != own:
            _LOG.warning("another process cannot share prompts; each completion is computed behind a copy")
        self._own, self._is_common = common, True
        return common


def why_not_shared(config: "PreTrainedConfig") -> str | None:
    """Why a model cannot share prompts, from its configuration; None if it may be able to.

    Layers of linear attention, convolution or a state space carry a state over all columns; layers with a sliding
    window look back over columns of other completions.
    """
    if (reason := unpacked_layers(config)) is not None:
        return reason
    kernel = config.get_text_config()._attn_implementation
    return None if kernel == KERNEL_NAME else f"attention: {kernel} shares no prompt, auto may"


def unpacked_layers(config: "PreTrainedConfig") -> str | None:
    """The layers of a model that keep its completions from sharing prompts; None if there are none."""
    kinds = getattr(config.get_text_config(), "layer_types", None) or ()
    others = Counter(kind for kind in kinds if kind != FULL_ATTENTION)
    if not others:
        return None
    named = " and ".join(f"{count} of {kind}" for kind, count in sorted(others.items()))
    return f"of its {len(kinds)} layers {named} take no packed completions"


def is_exact(policy: _ScoringPolicy, encoded: "EncodedPrompts") -> bool:
    """Whether shared prompts give the log-probabilities of the plain computation; if not, a warning says why."""
    part = encoded.select(slice(0, PROBE_PROMPTS))
    part = replace(part, features=[level.detach() for level in part.features])  # a trained tower's graph is not touched
    allowed = policy.logit_bias.isfinite().nonzero()[:, 0]  # tokens that may be sampled
    shape = (len(part), PROBE_COMPLETIONS, PROBE_TOKENS)
    indices = numpy_generator(0, "prefix_sharing").integers(len(allowed), size=shape)  # always the same ones
    ids = allowed[torch.from_numpy(indices).to(allowed.device)]  # [P, G, T]
    with policy.evaluating():
        reason = _difference(policy, part, ids, policy.scored(part, ids, shares_prompts=False))
    if reason is not None:
        _LOG.warning(
            "%s: completions that share their prompt are not computed as one by one (%s); going on without",
            policy.base_name,
            reason,
        )
    return reason is None


def _difference(policy: _ScoringPolicy, encoded: "EncodedPrompts", ids: Tensor, wanted: Tensor) -> str | None:
    """The reason why shared prompts do not give the log-probabilities ``wanted``; None if they do."""
    # 2 bytes where anything is computed in half precision; 4-bit weights hold the dtype they are multiplied in.
    dtypes = [policy.core.get_input_embeddings().weight.dtype]
    dtypes += [dtype for module in policy.core.modules() if (dtype := getattr(module, "compute_dtype", None))]
    is_half = torch.is_autocast_enabled(policy.device.type) or any(dtype.itemsize < 4 for dtype in dtypes)
    tolerance = TOLERANCES[2 if is_half else 4]
    try:
        gaps = {"the scoring pass": policy.scored(encoded, ids, shares_prompts=True)}
        gaps |= {"the decode loop": _decoded(policy, encoded, ids)}
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    for where, values in gaps.items():
        gap = float((values - wanted).abs().mean())
        if not gap <= tolerance:  # NaN is not
            return f"log-probabilities of {where} are off by {gap:.3g} on average, more than {tolerance:g}"
    return None


def _decoded(policy: _ScoringPolicy, encoded: "EncodedPrompts", ids: Tensor) -> Tensor:
    """Log-probabilities [P, G, T] of given tokens by prefill in two parts and steps over a cache that all share."""
    _, num_completions, num_tokens = ids.shape
    hidden, cache = policy.prefill(encoded, -(-encoded.prompts.input_ids.shape[1] // 2))
    cache.open(num_completions, num_tokens - 1)
    first, position = hidden[:, None].expand(-1, num_completions, -1), encoded.prompts.next_position
    states = [first, *(policy.decode_step(ids[..., t], position + t, cache) for t in range(num_tokens - 1))]
    logits = policy.logits(torch.stack(states, dim=2))
    return torch.log_softmax(logits, dim=-1).gather(-1, ids[..., None])[..., 0]
