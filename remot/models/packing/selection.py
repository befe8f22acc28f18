"""Whether a model computes the same in packed rows as one completion at a time, tested with the first prompts.

Sharing a prompt takes a model whose attention follows the mask it is given. Most do; layers that carry a state from
token to token, or kernels that take no mask, do not, and would silently produce wrong results. Layers of the first kind
are known from the model's configuration, and nothing is compared then.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor, nn

from remot.distributed import least_over_processes
from remot.models.packing.attention import RowMask
from remot.models.packing.masks import decode_mask
from remot.seeding import numpy_generator

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedConfig, PreTrainedModel

    from remot.models.inputs.prompts import EncodedPrompts

_LOG = logging.getLogger(__name__)

#: The type of a layer, as transformers names it, that follows any mask of pairs.
FULL_ATTENTION = "full_attention"
#: Completions, and tokens of each, that are compared.
PROBE_COMPLETIONS, PROBE_TOKENS = 2, 6
#: Prompts that are compared.
PROBE_PROMPTS = 2
#: Largest mean difference of two log-probabilities, by bytes of a number. In float32 rounding is some 1e-6. Half
#: precision rounds by some hundredths; a completion that sees another's tokens is off by more in a trained model.
TOLERANCES = {4: 1e-4, 2: 0.1}


@dataclass(frozen=True)
class Packing:
    """How the completions of a prompt are computed."""

    shares_prompt: bool  # in one row behind the prompt; otherwise each behind a copy of it
    row_mask: RowMask = RowMask.DENSE  # kind of attention mask of the scoring pass


SEPARATE = Packing(shares_prompt=False)
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
    def row_masks(self) -> Sequence[RowMask]: ...
    def gathered(self) -> AbstractContextManager[None]: ...
    def evaluating(self) -> AbstractContextManager[None]: ...
    def scored(self, encoded: "EncodedPrompts", completion_ids: Tensor, packing: Packing) -> Tensor: ...
    def prefill(self, encoded: "EncodedPrompts", room: int = 0) -> "tuple[Tensor, Cache]": ...
    def decode_step(self, token_ids: Tensor, position: Tensor, allowed: Tensor | None, cache: "Cache") -> Tensor: ...
    def logits(self, hidden: Tensor) -> Tensor: ...
    def trainable_parameters(self) -> list[nn.Parameter]: ...
    def eval(self) -> object: ...


@dataclass(eq=False)
class PackingSelector:
    """Decides once, with the first prompts, how completions are computed."""

    _own: Packing | None = field(default=None, init=False)
    _ways: list[Packing] = field(default_factory=list, init=False)  # to share a prompt, the best first
    _is_common: bool = field(default=False, init=False)

    def of(self, policy: _ScoringPolicy, encoded: "EncodedPrompts") -> Packing:
        """This process's decision."""
        if self._own is None:
            self._ways = [Packing(shares_prompt=True, row_mask=row_mask) for row_mask in policy.row_masks()]
            if reason := policy.unshared_reason(encoded):
                name = policy.base_name
                _LOG.warning("%s: computing each completion behind a copy of its prompt: %s", name, reason)
                self._own = SEPARATE
            elif policy.prefix_sharing == "auto":
                with policy.gathered():
                    self._own = first_exact(policy, encoded, self._ways, policy.base_name)
            else:
                self._own = self._ways[0] if policy.prefix_sharing == "on" else SEPARATE
        return self._own

    def common(self, policy: _ScoringPolicy, encoded: "EncodedPrompts") -> Packing:
        """The plainest way that any process has decided on; all of them must make the first call.

        Processes see different prompts, so that their comparisons may end differently.
        """
        own = self.of(policy, encoded)
        if self._is_common:
            return own
        ways = [*self._ways, SEPARATE]
        common = ways[-least_over_processes(-ways.index(own), policy.device)]
        if common != own:
            _LOG.warning("another process cannot compute with %s; going on without", own.row_mask.value)
        self._own, self._is_common = common, True
        return common


def unmasked_layers(config: "PreTrainedConfig") -> str | None:
    """Why a model cannot compute packed rows, from its configuration; None if it may be able to.

    Layers of linear attention, convolution or a state space carry a state over all columns, and transformers gives them
    no mask of pairs; layers with a sliding window have a mask of their own, which a packed row's mask would replace.
    """
    kinds = getattr(config.get_text_config(), "layer_types", None) or ()
    others = Counter(kind for kind in kinds if kind != FULL_ATTENTION)
    if not others:
        return None
    named = " and ".join(f"{count} of {kind}" for kind, count in sorted(others.items()))
    return f"of its {len(kinds)} layers {named} take no mask of packed completions"


def first_exact(policy: _ScoringPolicy, encoded: "EncodedPrompts", candidates: list[Packing], name: str) -> Packing:
    """The first candidate that gives the log-probabilities of the plain computation, which is the last resort.

    For each candidate that does not, a warning names the model.
    """
    part = encoded.select(slice(0, PROBE_PROMPTS))
    part = replace(part, features=[level.detach() for level in part.features])  # a trained tower's graph is not touched
    allowed = policy.logit_bias.isfinite().nonzero()[:, 0]  # tokens that may be sampled
    shape = (len(part), PROBE_COMPLETIONS, PROBE_TOKENS)
    indices = numpy_generator(0, "prefix_sharing").integers(len(allowed), size=shape)  # always the same ones
    ids = allowed[torch.from_numpy(indices).to(allowed.device)]  # [P, G, T]
    with policy.evaluating():
        wanted = policy.scored(part, ids, SEPARATE)
        for candidate in candidates:
            reason = _difference(policy, part, ids, wanted, candidate)
            if reason is None:
                return candidate
            what = candidate.row_mask.value
            _LOG.warning("%s: %s are not computed as one by one (%s); going on without", name, what, reason)
    return SEPARATE


def _difference(
    policy: _ScoringPolicy, encoded: "EncodedPrompts", ids: Tensor, wanted: Tensor, packing: Packing
) -> str | None:
    """The reason why ``packing`` does not give the log-probabilities ``wanted``; None if it does."""
    # 2 bytes where anything is computed in half precision; 4-bit weights hold the dtype they are multiplied in.
    dtypes = [policy.core.get_input_embeddings().weight.dtype]
    dtypes += [dtype for module in policy.core.modules() if (dtype := getattr(module, "compute_dtype", None))]
    is_half = torch.is_autocast_enabled(policy.device.type) or any(dtype.itemsize < 4 for dtype in dtypes)
    tolerance = TOLERANCES[2 if is_half else 4]
    try:
        gaps = {"the scoring pass": policy.scored(encoded, ids, packing)}
        gaps |= {"the decode loop": _decoded(policy, encoded, ids)}
        if packing.row_mask is RowMask.BLOCKS and policy.device.type == "cuda":
            _try_backward(policy, encoded, ids, packing)
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
    """Log-probabilities [P, G, T] of given tokens by prefill and steps over a cache that all share."""
    _, num_completions, num_tokens = ids.shape
    num_columns, mask = encoded.prompts.input_ids.shape[1], encoded.prompts.prompt_mask
    hidden, cache = policy.prefill(encoded, room=(num_tokens - 1) * num_completions)
    allowed = decode_mask(mask, num_completions, num_tokens - 1)
    states = [hidden[:, None].expand(-1, num_completions, -1)]
    for t in range(num_tokens - 1):
        seen = allowed[..., : num_columns + (t + 1) * num_completions]
        states.append(policy.decode_step(ids[..., t], encoded.prompts.next_position + t, seen, cache))
    logits = policy.logits(torch.stack(states, dim=2))
    return torch.log_softmax(logits, dim=-1).gather(-1, ids[..., None])[..., 0]


def _try_backward(policy: _ScoringPolicy, encoded: "EncodedPrompts", ids: Tensor, packing: Packing) -> None:
    """A kernel's backward is compiled apart from its forward and may fail on its own."""
    try:
        with torch.enable_grad():
            total = policy.scored(encoded, ids, packing).sum()
            torch.autograd.grad(total, policy.trainable_parameters(), allow_unused=True)
    finally:
        policy.eval()  # a pass with gradient leaves it in training mode, and the caller may be a rollout
