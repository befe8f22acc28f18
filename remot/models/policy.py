"""The policy: how a vision-language model takes images and gives log-probabilities.

Every pass (prefill, reference, policy) starts from the same :class:`EncodedPrompts`, so images are preprocessed and
encoded once per prompt, not once per completion and pass.

Notation: P prompts, G completions, L prompt columns, T completion columns, H hidden size, V vocabulary.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from remot.errors import ConfigError
from remot.models.adapters import Adaptation, FullWeights
from remot.models.families import family_of
from remot.models.families.whole import is_whole, next_whole, prefilled_whole, whole_states
from remot.models.inputs.feature_store import FeatureStore, refuse
from remot.models.inputs.prompts import EncodedPrompts, ProcessedPrompts
from remot.models.loading import ModelSource, describe_source
from remot.models.logprobs import Divergence, token_divergences, token_logprobs, token_logprobs_and_entropies
from remot.models.memory import MemoryEstimate, estimate_memory, halving
from remot.models.norms import use_lean_norms
from remot.models.packing.forward import next_states, packed_states, separate_states
from remot.models.packing.prefill import prefilled, prefilled_alone
from remot.models.packing.selection import PrefixSharing, SharingDecision, why_not_shared
from remot.models.packing.short_steps import ShortSteps, StepChoice
from remot.models.parts import blocks, language_model
from remot.models.prepacked import prepacked
from remot.models.reference import AVERAGED, ReferenceSnapshot, frozen_copy
from remot.models.sharding import Sharding
from remot.models.tokenization import PolicyTexts
from remot.structures import PromptBatch

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from transformers import Cache, PreTrainedModel

    from remot.models.packing.kv_cache import SharedPromptCache


class VLMPolicy(nn.Module):
    """A vision-language model with what post-training needs around it.

    Only passes that carry a gradient run in training mode, where layers recompute their activations and adapters drop
    inputs out; rollouts, references and evaluations never do, whatever mode a trainer has set.

    Args:
        source: Which weights and processor to load, and in which precision.
        adaptation: What is trained: all weights, LoRA adapters, or LoRA on 4-bit weights.
        train_vision: Train the vision tower too. Off by default, as in the systems this library implements.
        gradient_checkpointing: Recompute activations in the backward pass to save memory.
        prefix_sharing: ``on`` computes a prompt once for all its completions, ``off`` once for each; ``auto`` compares
            the two with the first prompts and shares if they agree. Models whose layers carry a state, as linear
            attention does, or that are computed by their own forward pass alone, are computed without sharing.
        with_reference: Keep a reference policy to measure KL against. With adapters it costs nothing (they are
            switched off); with full weights it is a frozen copy.
        with_snapshot: Keep a reference that can be captured anew, see :mod:`remot.models.reference`, instead of the
            base model.
        feature_store: Keep features of the frozen vision tower on disk.
        is_trained: The policy is to be trained. Otherwise adapters that ``source`` names are loaded in their own shape
            instead of that of ``adaptation``.
    """

    def __init__(  # noqa: PLR0913 (one argument per key of the configuration)
        self,
        source: ModelSource,
        adaptation: Adaptation | None = None,
        *,
        train_vision: bool = False,
        gradient_checkpointing: bool = False,
        prefix_sharing: PrefixSharing = "auto",
        with_reference: bool = True,
        with_snapshot: bool = False,
        feature_store: FeatureStore | None = None,
        is_trained: bool = True,
    ) -> None:
        super().__init__()
        self.prefix_sharing = prefix_sharing
        self._sharing = SharingDecision()
        self.source = source
        self.adaptation = adaptation if adaptation is not None else FullWeights()
        adapter = source.adapter()
        if adapter is not None:
            self.adaptation = self.adaptation.of_adapter(adapter, is_trained=is_trained)
        self.train_vision = train_vision
        loaded = source.load(self.adaptation.quantization_config())
        self.processor = loaded.processor
        self.texts = PolicyTexts(loaded.processor, loaded.eos_token_ids)
        core = loaded.model
        use_lean_norms(core)
        self.family = family_of(core, loaded.processor, describe_source(source))
        if prefix_sharing == "on" and (reason := why_not_shared(core.config)):
            msg = f"model.policy.prefix_sharing: on does not fit {source.pretrained}: {reason}; choose auto or off"
            raise ConfigError(msg)
        if gradient_checkpointing:
            core.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.adaptation.freeze(core, train_vision=train_vision)
        needs_copy = with_reference and not with_snapshot and not self.adaptation.reference_is_base
        self.reference = frozen_copy(core) if needs_copy else None
        self.model = self.adaptation.wrap(core)
        self.stored_features = feature_store.open(self.core, train_vision=train_vision) if feature_store else None
        self.snapshot = self.adaptation.snapshot(self.model) if with_snapshot else None
        self.average: ReferenceSnapshot | None = None
        self._averaged: tuple[PreTrainedModel, ...] = ()  # its model within :meth:`averaged`
        self.eos_token_ids = loaded.eos_token_ids
        self.pad_token_id = loaded.pad_token_id
        bias = torch.zeros(core.get_output_embeddings().weight.shape[0], dtype=torch.float32)
        bias[loaded.banned_token_ids] = -torch.inf
        self.register_buffer("logit_bias", bias, persistent=False)
        self.logit_bias: Tensor
        self.sharding: Sharding | None = None
        self._step_choice = StepChoice()
        self._steps: ShortSteps | None = None  # within :meth:`sampling`
        # recorded here, as adapters may be disabled or swapped during a pass
        self.trained_names = frozenset(name for name, weight in self.named_parameters() if weight.requires_grad)
        self.eval()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "VLMPolicy":  # noqa: FBT001, FBT002
        """Like ``nn.Module._apply``, but keeps buffer dtypes.

        A trainer's ``precision: bf16-true`` converts the whole module. Rotary frequencies rounded to 8 bits would shift
        the positions of images and words some hundred columns on.
        """
        buffers = [(module, name, held) for module in self.modules() for name, held in module._buffers.items()]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for module, name, held in buffers:
            now = module._buffers[name]
            if held is not None and now is not None and now.dtype != held.dtype:
                module._buffers[name] = held.to(now.device)
        return self

    @property
    def generation_settings(self) -> dict[str, Any]:
        """The model's own ``generation_config.json`` by transformers' names; empty if it has none."""
        held = getattr(self.model, "generation_config", None)
        return {} if held is None else dict(held.to_dict())

    @property
    def device(self) -> torch.device:
        """Device the weights are on."""
        return next(self.model.parameters()).device

    @property
    def core(self) -> "PreTrainedModel":
        """The transformers model itself, adapters inside, without the adapter library's wrapper."""
        return self.adaptation.unwrap(self.model)

    @property
    def base_name(self) -> str:
        """Short name of the base model."""
        return describe_source(self.source)

    def unshared_reason(self, encoded: EncodedPrompts) -> str | None:
        """Why completions cannot share their prompt, as far as it is known without comparing; None if they may."""
        return encoded.whole_reason or why_not_shared(self.core.config)

    def shares_prompts(self, encoded: EncodedPrompts) -> bool:
        """Whether a prompt is computed once for all its completions, decided with the first prompts there are."""
        return self._sharing.of(self, encoded) and encoded.whole_reason is None

    @property
    def footprint(self) -> MemoryEstimate:
        """Memory estimate: bytes per token."""
        return estimate_memory(self.core)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Parameters an optimiser should move."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    # -- several processes ---------------------------------------------------------------------------------------

    def shard(self, mesh: "DeviceMesh") -> None:
        """Divide the weights, those of a frozen reference too, over the processes of ``mesh``."""
        if self.stored_features is not None:
            refuse("processes gather divided weights together, and each finds other features")
        kept = [one for one in (self.snapshot, self.average) if one is not None]
        cores = [core for core in (self.core, self.reference, *(copy for one in kept for copy in one.copies)) if core]
        self.sharding = Sharding(self, [block for core in cores for block in blocks(core)], mesh)

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Within this context all weights are in this process, for passes other processes do not take part in."""
        with contextlib.nullcontext() if self.sharding is None else self.sharding.gathered():
            yield

    # -- prompts -------------------------------------------------------------------------------------------------

    def process(self, batch: PromptBatch) -> ProcessedPrompts:
        """Chat template, tokeniser and processors, once per prompt; see :func:`process_prompts`."""
        return self.family.process(self.core, batch)

    def process_replies(self, batch: PromptBatch) -> ProcessedPrompts:
        """What follows a response, up to the next one; see :func:`remot.models.inputs.processing.process_replies`."""
        return self.family.process_replies(self.core, batch)

    def encode(self, prompts: ProcessedPrompts, *, use_reference: bool = False) -> EncodedPrompts:
        """Run the vision tower once, or the reference policy's; with gradient only where it is trained."""

        def features_of(size: int) -> list[Tensor]:
            slices = [slice(start, start + size) for start in range(0, len(prompts), size)]
            parts = [prompts] if size >= len(prompts) else [prompts.select(rows) for rows in slices]
            parts = [part for part in parts if bool(part.visual_mask.any())] or [prompts]
            with self._pass(use_reference=use_reference, with_gradient=self.train_vision) as model:
                levels = [self.family.features(model, part, self.stored_features) for part in parts]
            return [torch.cat(level) for level in zip(*levels, strict=True)] if len(levels) > 1 else list(levels[0])

        if torch.is_grad_enabled() and self.train_vision:  # the micro-batch as a whole is made smaller
            return EncodedPrompts(prompts, features_of(len(prompts)))
        return EncodedPrompts(prompts, halving(features_of, len(prompts), "encoding the images of")[0])

    # -- language model ------------------------------------------------------------------------------------------

    def prefill(self, encoded: EncodedPrompts, num_columns: int | None = None) -> "tuple[Tensor, SharedPromptCache]":
        """Compute P prompts once, long ones ``num_columns`` at a time; see :mod:`remot.models.packing.prefill`.

        Returns:
            The last real hidden state of each prompt [P, H], and the key-value cache that their completions share.
        """
        with self._pass(with_gradient=False) as model:
            return prefilled(model, encoded, num_columns)

    def prefill_alone(self, encoded: EncodedPrompts, num_completions: int) -> "tuple[Tensor, Cache]":
        """Compute P prompts of one length once, and copy what transformers' own cache holds for each of G completions.

        Only one prompt where the model's own forward pass takes it.

        Returns:
            The last hidden states [P*G, H], prompt by prompt, and a cache of as many rows.
        """
        with self._pass(with_gradient=False) as model:
            if encoded.whole_reason is not None:
                return prefilled_whole(model, encoded.prompts, num_completions)
            return prefilled_alone(model, encoded, num_completions)

    def decode_step(self, token_ids: Tensor, position: Tensor, cache: "Cache") -> Tensor:
        """Hidden states [P, G, H] after one more token of each of G completions, inside :meth:`evaluating`.

        Args:
            token_ids: [P, G].
            position: [P] rotary position of the tokens.
            cache: Key-value cache, extended in place: of :meth:`prefill`, opened for G completions, or with G = 1 of
                :meth:`prefill_alone`.
        """
        if is_whole(cache):
            return next_whole(self.core, token_ids, position, cache)
        return next_states(self.core, token_ids, position, cache, self._steps)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits [..., V] in float32 with tokens that can never be sampled at -inf."""
        logits: Tensor = self.family.head(self.core)(hidden)
        return logits.float().add_(self.logit_bias)  # as large as a vocabulary: no second copy

    def completion_logprobs(
        self,
        encoded: EncodedPrompts,
        completion_ids: Tensor,
        wanted: Tensor | None = None,
        *,
        temperature: float = 1.0,
        use_reference: bool = False,
    ) -> Tensor:
        """Log-probability [P, G, T] of completion tokens, each prompt computed once if that is exact.

        Where there are several processes, all of them must make the first such pass.

        Args:
            encoded: P prompts.
            completion_ids: [P, G, T], padded with any valid id.
            wanted: [P, G, T] bool, True for tokens whose log-probability is wanted; the others get 0, and prompts and
                completions without any are not computed. All if it is None or holds no True.
            temperature: The one the completions were sampled with.
            use_reference: Take the reference policy instead.
        """
        shares = self._sharing.common(self, encoded)
        return self.scored(
            encoded,
            completion_ids,
            wanted,
            shares_prompts=shares,
            temperature=temperature,
            use_reference=use_reference,
        )

    def scored(
        self,
        encoded: EncodedPrompts,
        completion_ids: Tensor,
        wanted: Tensor | None = None,
        *,
        shares_prompts: bool,
        temperature: float = 1.0,
        use_reference: bool = False,
    ) -> Tensor:
        """As :meth:`completion_logprobs`, with prompts shared or not."""
        wanted = _wanted_of(wanted, completion_ids)
        with self._pass(use_reference=use_reference) as model:
            hidden = self._predicting_states(model, encoded, completion_ids, wanted, shares_prompts=shares_prompts)
            head, targets, bias = self.family.head(model), completion_ids[wanted], self.logit_bias
            logprobs = token_logprobs(hidden, targets, head, logit_bias=bias, temperature=temperature)
        return _spread(logprobs, wanted)

    def scored_with_entropies(
        self, encoded: EncodedPrompts, completion_ids: Tensor, wanted: Tensor | None = None, *, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`completion_logprobs`, and the entropy [P, G, T] in nats of what each token was drawn from."""
        shares = self._sharing.common(self, encoded)
        wanted = _wanted_of(wanted, completion_ids)
        with self._pass() as model:
            hidden = self._predicting_states(model, encoded, completion_ids, wanted, shares_prompts=shares)
            head, targets, bias = self.family.head(model), completion_ids[wanted], self.logit_bias
            both = token_logprobs_and_entropies(hidden, targets, head, logit_bias=bias, temperature=temperature)
        return _spread(both[0], wanted), _spread(both[1], wanted)

    def scored_with_divergences(
        self,
        encoded: EncodedPrompts,
        taught: EncodedPrompts,
        completion_ids: Tensor,
        wanted: Tensor,
        divergence: Divergence,
        *,
        use_average: bool = False,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """The same completions behind the policy's own prompts and behind those of a teacher.

        The teacher is the policy, or its average, without gradient. Distributions over the vocabulary are compared
        chunk by chunk and never kept.

        Args:
            encoded: P prompts.
            taught: The same P prompts as the teacher is shown them.
            completion_ids: [P, G, T].
            wanted: [P, G, T] bool with a True.
            divergence: From log-probabilities [M, V] of policy and teacher to [M].
            use_average: The teacher is :meth:`averaged`.
            temperature: Of both.

        Returns:
            Log-probabilities of the tokens, and the divergence at each: [P, G, T] both, 0 where not wanted.
        """
        shares = self._sharing.common(self, encoded)
        teacher = self.averaged if use_average else contextlib.nullcontext
        with teacher(), self._pass(with_gradient=False) as model:
            states = self._predicting_states(model, taught, completion_ids, wanted, shares_prompts=shares)

        def teacher_head(hidden: Tensor) -> Tensor:
            with teacher(), self._pass(with_gradient=False) as model:
                logits: Tensor = self.family.head(model)(hidden)
            return logits

        with self._pass() as model:
            hidden = self._predicting_states(model, encoded, completion_ids, wanted, shares_prompts=shares)
            head, targets = self.family.head(model), completion_ids[wanted]
            bias = self.logit_bias
            logprobs = token_logprobs(hidden, targets, head, logit_bias=bias, temperature=temperature)
            gaps = token_divergences(
                hidden, states, head, teacher_head, divergence, logit_bias=bias, temperature=temperature
            )
        return _spread(logprobs, wanted), _spread(gaps, wanted)

    def _predicting_states(
        self,
        model: "PreTrainedModel",
        encoded: EncodedPrompts,
        completion_ids: Tensor,
        wanted: Tensor,
        *,
        shares_prompts: bool,
    ) -> Tensor:
        """Hidden states [number of True in ``wanted`` [P, G, T], H] from which those tokens are predicted."""
        if encoded.whole_reason is not None:
            return whole_states(model, encoded.prompts, completion_ids)[wanted.flatten()]
        states = packed_states if shares_prompts else separate_states
        return states(model, encoded, completion_ids, wanted)

    # -- modes ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _pass(self, *, use_reference: bool = False, with_gradient: bool = True) -> "Iterator[PreTrainedModel]":
        """The model of a pass, in the mode that fits: training mode only where gradients are wanted."""
        if use_reference:
            with self.reference_policy() as reference:
                yield reference
        elif with_gradient and torch.is_grad_enabled():
            self.train()  # stays in this mode: the backward pass recomputes in the mode of the forward pass
            yield self.core
        else:
            with self.evaluating():
                yield self._averaged[0] if self._averaged else self.core

    def keep_average(self) -> None:
        """Keep an average of the policy over its steps, for :meth:`averaged`; before weights are divided."""
        self.average = self.adaptation.snapshot(self.model, AVERAGED)
        self.eval()

    def move_average(self, rate: float, step: int) -> None:
        """Before a step: move the average, if one is kept; see :meth:`ReferenceSnapshot.average`."""
        if self.average is not None:
            self.average.average(self.model, rate, step)

    @property
    def frozen_sets(self) -> dict[str, ReferenceSnapshot]:
        """The captured reference and the average, if there are any, by what checkpoints call their steps."""
        held = {"snapshot_step": self.snapshot, "average_step": self.average}
        return {name: one for name, one in held.items() if one is not None}

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within this context passes without gradient are those of the average of the policy over its steps.

        Raises:
            ConfigError: Without :meth:`keep_average`.
        """
        if self.average is None:
            msg = "the policy keeps no average of its steps, which a teacher with `average` needs: call keep_average()"
            raise ConfigError(msg)
        with self.evaluating(), self.average.active(self.model) as core:
            self._averaged = (core,)
            try:
                yield
            finally:
                self._averaged = ()

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within this context nothing carries a gradient, is recomputed or drops out; afterwards all is as before."""
        was_training = self.training
        with torch.no_grad():
            if was_training:
                self.eval()
            try:
                yield
            finally:
                if was_training:
                    self.train()

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        """As :meth:`evaluating`, for many passes between two updates: adapters become part of whole weights.

        On a CPU those are laid out for products with few rows.
        """
        with self.evaluating():
            if self.sharding is not None:
                yield
                return
            layers = dict.fromkeys([*language_model(self.core).modules(), self.core.get_output_embeddings()])
            with self.adaptation.merged(self.model) as plain, prepacked(layers, plain):
                self._steps = self._step_choice.of(self.core)
                try:
                    yield
                finally:
                    self._steps = None

    @contextlib.contextmanager
    def reference_policy(self) -> "Iterator[PreTrainedModel]":
        """The model that KL is measured against, as in :meth:`evaluating`.

        A frozen copy, or the policy's own with its adapters off or others in their place.
        """
        with self.evaluating():
            if self.snapshot is not None:
                with self.snapshot.active(self.model) as core:
                    yield core
            else:
                with self.adaptation.disabled(self.model):
                    yield self.core if self.reference is None else self.reference


def _wanted_of(wanted: Tensor | None, completion_ids: Tensor) -> Tensor:
    """[P, G, T] bool: ``wanted``, or all tokens if it is None or holds no True."""
    return torch.ones_like(completion_ids, dtype=torch.bool) if wanted is None or not bool(wanted.any()) else wanted


def _spread(values: Tensor, wanted: Tensor) -> Tensor:
    """[P, G, T] of values for the True entries of ``wanted``, 0 elsewhere."""
    return values.new_zeros(wanted.shape).masked_scatter(wanted, values)
