"""A decode step of a common kind of decoder with fewer operations than the model's own layers take.

A step over a few tokens costs about as much for its several hundred small operations as for its products. Decoders of
one kind, with RMS norms before attention and feed-forward layer, rotary positions and a gated feed-forward layer, are
computed here from their own weights: queries, keys and values in one product where it is small, norms in four
operations, no modules in between. Whether a model is of that kind is read from its parts and compared with its own
forward pass; others keep that.

Notation: U prompts, C completions of each, N query heads, K key-value heads, D numbers of a head, H hidden size.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.functional import rms_norm, silu

from remot.models.packing.attention import decode_attention, packed_attention
from remot.models.parts import has_grid_positions, language_model, run_language_model
from remot.models.prepacked import is_packable, packed_product
from remot.seeding import numpy_generator

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from remot.models.packing.kv_cache import SharedPromptCache

_LOG = logging.getLogger(__name__)

#: Parts of a layer, of its attention and of its feed-forward layer; those in brackets may be missing.
LAYER_PARTS = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
ATTENTION_PARTS, HEAD_NORMS = {"q_proj", "k_proj", "v_proj", "o_proj"}, {"q_norm", "k_norm"}
GATED_PARTS = {"gate_proj", "up_proj", "down_proj"}
#: Tokens that are compared, and the largest mean difference, relative to the states, by bytes of a number.
PROBE_TOKENS, TOLERANCES = 3, {4: 1e-5, 2: 0.02}
#: The most numbers of weights that are copied to be multiplied together.
MOST_JOINED = 2**20

#: From number of the layer, queries [U, N, C, D], keys and values [U, K, C, D] to [U, C, N, D].
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
Linear = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Norm:
    """A norm by root mean square, with a weight."""

    weight: Tensor  # [..., n], the last dimension is normed
    eps: float
    _by_length: tuple[Tensor, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        root = self.weight.shape[-1] ** 0.5
        # w x / sqrt(|x|^2 / n + eps) = (w sqrt(n)) x / sqrt(|x|^2 + n eps)
        by_length = self.weight * root, torch.full((), root * self.eps**0.5, device=self.weight.device)
        object.__setattr__(self, "_by_length", by_length)

    def __call__(self, states: Tensor) -> Tensor:
        """[..., n] in the precision of ``states``, as transformers rounds it."""
        if states.dtype == torch.float32:
            weight, least = self._by_length
            return (states / torch.hypot(vector_norm(states, dim=-1, keepdim=True), least)).mul_(weight)
        return rms_norm(states.float(), self.weight.shape[-1:], None, self.eps).to(states.dtype) * self.weight


@dataclass(frozen=True, eq=False)
class StepLayer:
    """The parts of a layer."""

    before: Norm  # of the states that attention sees
    after: Norm  # of those that the feed-forward layer sees
    of_heads: Norm | None  # of queries and keys, its weight [N + K, D]
    query_key_value: Linear
    out: Linear
    gate_up: Linear
    down: Linear
    head_size: int  # D
    num_heads: int  # N
    num_keys: int  # K
    scaling: float
    attention: nn.Module

    def __call__(self, number: int, states: Tensor, rotation: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """States [U, C, H] after the layer; ``rotation`` is for :func:`rotated`, [U, C, 1, D] each."""
        heads = self.query_key_value(self.before(states)).view(*states.shape[:-1], -1, self.head_size)
        shown, values = torch.split(heads, [self.num_heads + self.num_keys, self.num_keys], dim=2)
        shown = shown if self.of_heads is None else self.of_heads(shown)  # [U, C, N + K, D]
        turned = rotated(shown, *rotation).transpose(1, 2)  # [U, N + K, C, D]
        query, keys = torch.split(turned, [self.num_heads, self.num_keys], dim=1)
        mixed = attend(number, query, keys, values.transpose(1, 2))  # [U, C, N, D]
        states = states + self.out(mixed.flatten(-2))
        gate, up = self.gate_up(self.after(states)).chunk(2, dim=-1)
        return states + self.down(silu(gate).mul_(up))


def rotated(heads: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Rotary positions: numbers i and i + D/2 of ``heads`` [..., D] as a point that is turned by an angle.

    ``cos`` and ``signed_sin`` [..., D] repeat in their second half, where the sine's first half is negative.
    """
    return (heads * cos).addcmul_(torch.roll(heads, heads.shape[-1] // 2, -1), signed_sin)


def joined(layers: Sequence[Linear]) -> Linear:
    """What gives the results of several linear layers of the same input behind each other.

    In one product where their weights are few: it takes a copy of them, and saves what calls cost beside it.
    """
    plain = [layer for layer in layers if type(layer) is nn.Linear and layer.weight.device.type == "cpu"]
    has_bias = {layer.bias is not None for layer in plain}
    if len(plain) < len(layers) or len(has_bias) > 1 or sum(layer.weight.numel() for layer in plain) > MOST_JOINED:
        return layers[0] if len(layers) == 1 else lambda rows: torch.cat([layer(rows) for layer in layers], dim=-1)
    weight = torch.cat([layer.weight.detach() for layer in plain])  # [sum of out, in]
    bias = torch.cat([layer.bias.detach() for layer in plain]) if has_bias == {True} else None
    if is_packable(weight):
        return packed_product(weight, bias)
    by_input = weight.t().contiguous()  # [in, sum of out]
    return lambda rows: rows @ by_input if bias is None else (rows @ by_input).add_(bias)


@dataclass(frozen=True, eq=False)
class ShortSteps:
    """The layers of a decoder, for as long as its weights stay."""

    layers: Sequence[StepLayer]
    last: Norm
    rotary: nn.Module
    embed: nn.Module
    has_grid: bool  # a token has positions in time, height and width

    def __call__(self, states: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """States [U, C, H] after the decoder, for embeddings [U, C, H] of text at positions [U, C]."""
        cos, sin = self.rotary(states, positions.expand(3, -1, -1) if self.has_grid else positions)
        first, second = sin.unsqueeze(2).chunk(2, dim=-1)
        rotation = cos.unsqueeze(2), torch.cat([-first, second], dim=-1)  # [U, C, 1, D]
        for number, layer in enumerate(self.layers):
            states = layer(number, states, rotation, attend)
        return self.last(states)

    def next_states(self, token_ids: Tensor, position: Tensor, cache: "SharedPromptCache") -> Tensor:
        """As :func:`remot.models.packing.forward.next_states`, for a shared cache."""
        cache.begin_step()

        def attend(number: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            cache.layers[number].update(keys, values)
            return decode_attention(query, cache, number, self.layers[number].scaling)

        states = self(self.embed(token_ids), position[:, None].expand(-1, token_ids.shape[1]), attend)
        cache.end_step()
        return states


class StepChoice:
    """Remembers whether short steps are those of the model, which is compared once."""

    def __init__(self) -> None:
        self._is_same: bool | None = None

    def of(self, model: "PreTrainedModel") -> ShortSteps | None:
        """The short steps of a model with its weights as they are now; None if its own layers have to be taken."""
        if self._is_same is False or torch.is_autocast_enabled(model.device.type):
            return None
        steps = short_steps(model)
        if steps is not None and self._is_same is None:
            self._is_same = is_same(model, steps)
        return steps if self._is_same else None


def short_steps(model: "PreTrainedModel") -> ShortSteps | None:
    """The decoder of ``model`` in its parts, if it has those of the kind above; nothing is compared.

    Linear layers are taken as they are now: with copies of their weights, and without adapters that are switched off.
    Where modules have hooks, or a ``forward`` that was put in place of their class's, they keep their own way.
    """
    decoder: Any = language_model(model)
    if _is_changed(decoder):
        return None
    try:
        layers = [_step_layer(layer) for layer in decoder.layers]
        parts = (_norm(decoder.norm), decoder.rotary_emb, model.get_input_embeddings(), has_grid_positions(model))
    except (AttributeError, TypeError, ValueError):
        return None
    found = [layer for layer in layers if layer is not None]
    return ShortSteps(found, *parts) if found and len(found) == len(layers) else None


def is_same(model: "PreTrainedModel", steps: ShortSteps) -> bool:
    """Whether ``steps`` give what the model's own decoder gives, over a few tokens."""
    weight = model.get_input_embeddings().weight
    generator = numpy_generator(0, "short_steps")
    ids = torch.from_numpy(generator.integers(len(weight), size=(1, PROBE_TOKENS))).to(weight.device)
    positions = torch.arange(PROBE_TOKENS, device=weight.device)[None]  # [1, 3]
    embeds = steps.embed(ids)  # [1, 3, H]

    def attend(number: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        layer = steps.layers[number]
        return packed_attention(layer.attention, query, keys, values, None, layer.scaling)[0]

    plain = {"position_ids": positions.expand(3, -1, -1), "attention_mask": None, "use_cache": False}
    try:
        wanted = run_language_model(model, inputs_embeds=embeds, **plain).last_hidden_state
        found = steps(embeds, positions, attend)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        _LOG.info("decode steps by the model's own layers: %s", str(error).splitlines()[0] if str(error) else error)
        return False
    gap = float((found - wanted).float().abs().mean() / wanted.float().abs().mean())
    is_alike = gap <= TOLERANCES[min(4, weight.element_size())]
    if not is_alike:
        _LOG.info("decode steps by the model's own layers: short ones are off by %.2g", gap)
    return is_alike


def _step_layer(layer: Any) -> StepLayer | None:  # noqa: ANN401 (transformers' layers have no common type)
    """The parts of a layer; None if it has others."""
    attention, gated = layer.self_attn, layer.mlp
    kinds: tuple[tuple[nn.Module, set[str], set[str]], ...] = (
        (layer, LAYER_PARTS, set()),
        (attention, ATTENTION_PARTS, HEAD_NORMS | {"rotary_emb"}),
        (gated, GATED_PARTS, {"act_fn"}),
    )
    for module, needed, allowed in kinds:
        names = {name for name, _ in module.named_children()}
        if not needed <= names <= needed | allowed or _is_changed(module):
            return None
    size = int(attention.head_dim)
    num_heads, num_keys = (int(linear.out_features) // size for linear in (attention.q_proj, attention.k_proj))
    of_heads = None
    if hasattr(attention, "q_norm"):
        norms = _norm(attention.q_norm), _norm(attention.k_norm)
        weights = [norm.weight.expand(count, -1) for norm, count in zip(norms, (num_heads, num_keys), strict=True)]
        of_heads = Norm(torch.cat(weights), norms[0].eps)
    return StepLayer(
        before=_norm(layer.input_layernorm),
        after=_norm(layer.post_attention_layernorm),
        of_heads=of_heads,
        query_key_value=joined([_linear(part) for part in (attention.q_proj, attention.k_proj, attention.v_proj)]),
        out=joined([_linear(attention.o_proj)]),
        gate_up=joined([_linear(part) for part in (gated.gate_proj, gated.up_proj)]),
        down=joined([_linear(gated.down_proj)]),
        head_size=size,
        num_heads=num_heads,
        num_keys=num_keys,
        scaling=float(attention.scaling),
        attention=attention,
    )


def _is_changed(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _norm(module: Any) -> Norm:  # noqa: ANN401
    """Weight and epsilon; transformers' norms name it ``variance_epsilon``, PyTorch's ``eps``."""
    eps = module.variance_epsilon if hasattr(module, "variance_epsilon") else module.eps
    return Norm(module.weight.detach(), float(eps))


def _linear(module: Any) -> Linear:  # noqa: ANN401
    """What computes a linear layer now: the layer below adapters that are switched off or added up, else the layer."""
    if getattr(module, "disable_adapters", False):
        module = module.get_base_layer()
    computes: Linear = module.__dict__.get("forward", module)  # as replaced by remot.models.prepacked
    return computes
