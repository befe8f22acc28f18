"""Every other image-text-to-text model: prompts processed one by one, and a comparison before the first of them.

The features of images are computed once and put where the placeholders are, the language model runs by itself, and all
that follows (packed rows, the shared cache) works as for any family, if that gives what the model's own forward pass
gives for a made-up prompt. Otherwise the model's own forward pass computes each completion behind a copy of its prompt.
"""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from remot.errors import ConfigError
from remot.models.families.heads import head_candidates
from remot.models.families.whole import features_of, next_whole, own_arguments, prefilled_whole
from remot.models.inputs.chat_template import render_prompt
from remot.models.inputs.feature_store import StoredFeatures, refuse
from remot.models.inputs.processing import in_prompt_order
from remot.models.inputs.prompts import IMAGE, TEXT, VIDEO, OwnInputs, ProcessedPrompts
from remot.models.inputs.timestamps import video_metadata, whole_patches
from remot.models.parts import has_grid_positions, run_language_model
from remot.seeding import numpy_generator
from remot.structures import PromptBatch, Video

if TYPE_CHECKING:
    from transformers import BatchFeature, PreTrainedModel, ProcessorMixin

_LOG = logging.getLogger(__name__)

#: Shapes of the two images of the made-up prompt, its question, and the tokens behind it.
PROBE_SIZES, PROBE_TEXT, PROBE_TOKENS = ((3, 64, 64), (3, 48, 80)), "Which way did the camera turn?", 5
#: Largest mean difference of two log-probabilities, by bytes of a number, as in :mod:`remot.models.packing.selection`.
TOLERANCES = {4: 1e-4, 2: 0.1}
#: What transformers' passes raise where a model is built in another way than supposed.
_MISMATCH = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError)


class PlainFamily:
    """How prompts enter a model that is known by what transformers' classes have in common.

    Args:
        processor: The model's.
        name: Short name of the model, for messages.
    """

    def __init__(self, processor: "ProcessorMixin", name: str) -> None:
        self.processor = processor
        self.name = name
        self._head_name = ""  # set by the comparison
        self._whole_reasons: dict[str, str | None] = {}  # for what was compared, images or videos, see OwnInputs

    def head(self, model: "PreTrainedModel") -> nn.Module:
        """From hidden states [..., H] to logits [..., V]."""
        self._compare(model, "image")
        return head_candidates(model)[self._head_name]

    # -- prompts -------------------------------------------------------------------------------------------------

    def process(self, model: "PreTrainedModel", batch: PromptBatch) -> ProcessedPrompts:
        """Chat template, tokeniser, and processors of images and videos, prompt by prompt.

        Raises:
            ConfigError: If the processor refuses a prompt, which is named, or the model is not computed as its own
                forward pass.
        """
        self._compare(model, "image")
        if any(batch.videos):
            self._compare(model, "video")
        shown = zip(batch.images, batch.videos, batch.questions, strict=True)
        parts = [self._inputs(*prompt[:2], prompt[2].text, prompt[2].prompt_id) for prompt in shown]
        kinds = ("image", "video") if any(batch.videos) else ("image",)
        reasons = [reason for kind in kinds if (reason := self._whole_reasons[kind]) is not None]
        return self._joined(model, parts, reasons[0] if reasons else None).to(next(model.parameters()).device)

    def process_replies(self, model: "PreTrainedModel", batch: PromptBatch) -> ProcessedPrompts:  # noqa: ARG002
        """Conversations are put together for families with a grid of patches only.

        Raises:
            ConfigError: Always.
        """
        msg = f"{self.name} holds no conversation of several turns here: leave turns out, or use a Qwen-VL model"
        raise ConfigError(msg)

    def features(
        self, model: "PreTrainedModel", prompts: ProcessedPrompts, stored: StoredFeatures | None = None
    ) -> list[Tensor]:
        """For each level the features [visual tokens, H] of all prompts in order; none if the model takes them itself.

        Raises:
            ConfigError: If a prompt has another number of placeholders than of features, or features are to be stored
                and there are none.
        """
        assert prompts.own is not None
        if (reason := prompts.own.whole_reason) is not None:
            if stored is not None:
                refuse(f"{self.name} takes images in its own forward pass, without features to keep ({reason})")
            return []
        found = [
            _features(model, inputs, kinds, stored)
            for inputs, kinds in zip(prompts.own.tensors, prompts.token_types, strict=True)
        ]
        for levels, kinds in zip(found, prompts.token_types, strict=True):
            counts, placeholders = [len(level) for level in levels], int((kinds != TEXT).sum())
            if any(count != placeholders for count in counts or [0]):
                msg = (
                    f"a prompt of {self.name} has {placeholders} visual placeholders and {counts} features; keep the "
                    f"model's token for images, {getattr(self.processor, 'image_token', '')!r}, out of questions"
                )
                raise ConfigError(msg)
        return [torch.cat(level) for level in zip(*(levels for levels in found if levels), strict=True)]

    def _inputs(self, images: Sequence[Tensor], videos: Sequence[Video], text: str, prompt_id: str) -> "BatchFeature":
        """The processor's tensors of one prompt."""
        shown = [*({"type": "image"} for _ in images), *({"type": "video"} for _ in videos)]
        rendered = render_prompt(
            self.processor, [{"role": "user", "content": [*shown, {"type": "text", "text": text}]}]
        )
        arguments: dict[str, Any] = {"text": [rendered], "return_tensors": "pt", "return_mm_token_type_ids": True}
        if images:
            arguments["images"] = [list(images)]
        if videos:
            arguments |= self._videos(videos)
        try:
            return self.processor(**arguments)
        except _MISMATCH as error:
            cause = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            msg = f"the processor of {self.name} does not take the prompt {prompt_id!r:.80} ({cause})"
            raise ConfigError(msg) from error

    def _videos(self, videos: Sequence[Video]) -> dict[str, Any]:
        """The processor's arguments for videos.

        Raises:
            ConfigError: If it takes none.
        """
        if getattr(self.processor, "video_processor", None) is None:
            msg = f"{self.name} takes no videos; show their frames as images"
            raise ConfigError(msg)
        taken = getattr(self.processor.video_processor, "temporal_patch_size", 1) or 1
        shown = [whole_patches(video, taken) for video in videos]
        settings = {
            "do_sample_frames": False,
            "input_data_format": "channels_first",
            "video_metadata": [video_metadata(times) for _, times in shown],
            "return_metadata": True,
        }
        return {"videos": [frames for frames, _ in shown], "videos_kwargs": settings}

    def _joined(
        self, model: "PreTrainedModel", parts: Sequence["BatchFeature"], whole_reason: str | None
    ) -> ProcessedPrompts:
        """Prompts of one row each as rows of equal length, padded on the right."""
        rows = [part["input_ids"][0] for part in parts]
        lengths = torch.tensor([len(row) for row in rows])
        width = int(lengths.amax())
        kinds = [_token_types(model, self.processor, part) for part in parts]
        positions = [_positions(model, part, kind) for part, kind in zip(parts, kinds, strict=True)]
        padding = self.processor.tokenizer.pad_token_id or 0
        return ProcessedPrompts(
            input_ids=torch.stack([pad(row, (0, width - len(row)), value=padding) for row in rows]),
            prompt_mask=torch.arange(width) < lengths[:, None],
            position_ids=torch.stack([pad(position, (0, width - position.shape[1])) for position in positions], dim=1),
            next_position=torch.stack([position[0, -1] + 1 for position in positions]),
            token_types=torch.stack([pad(kind, (0, width - len(kind))) for kind in kinds]),
            images=None,
            videos=None,
            own=OwnInputs(tuple(map(_own_tensors, parts, kinds)), whole_reason),
        )

    # -- the comparison ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _compare(self, model: "PreTrainedModel", kind: str) -> None:
        """Compare with the model's own forward pass over images or a video, once for each.

        No prompt of the data takes part, so that processes agree.

        Raises:
            ConfigError: If the model cannot be computed as is known here.
        """
        if kind in self._whole_reasons:
            return
        was_training = model.training
        model.eval()
        try:
            self._head_name, reason = self._compared(model, kind)
        finally:
            model.train(was_training)
        self._whole_reasons[kind] = reason
        if reason is None:  # otherwise the line that says why completions do not share their prompt says it
            _LOG.info("%s: %ss are encoded once, which gives what the model's own forward pass does", self.name, kind)

    def _compared(self, model: "PreTrainedModel", kind: str) -> tuple[str, str | None]:
        """Name of the head, and the reason against putting features in place."""
        generator = numpy_generator(0, "family")

        def frames(*size: int) -> Tensor:
            return torch.from_numpy(generator.integers(0, 256, size, dtype="uint8"))

        images = [frames(*size) for size in PROBE_SIZES] if kind == "image" else []
        videos = [Video(frames(4, 3, 64, 64), (0.0, 0.5, 1.0, 1.5))] if kind == "video" else []
        parts = [self._inputs(images, videos, PROBE_TEXT, "made up to compare")]
        prompts = self._joined(model, parts, None).to(next(model.parameters()).device)
        drawn = torch.from_numpy(generator.integers(0, len(self.processor.tokenizer), (1, PROBE_TOKENS)))
        ids = drawn.masked_fill(torch.isin(drawn, _visual_ids(model, self.processor)), 0).to(prompts.input_ids.device)
        tolerance = TOLERANCES[min(4, model.get_input_embeddings().weight.element_size())]
        try:
            wanted = _logprobs(model(**own_arguments(model, prompts, 0, ids)).logits[:, -PROBE_TOKENS - 1 :])
            hidden = _own_states(model, prompts, ids)  # [1, 1 + T, H]
            heads = head_candidates(model)
            gaps = {name: _gap(_logprobs(head(hidden)), wanted) for name, head in heads.items()}
            name = min(gaps, key=lambda name: gaps[name])
            earlier = _gap(_logprobs(heads[name](_own_states(model, prompts, ids[:, :-1]))), wanted[:, :-1])
        except _MISMATCH as error:
            msg = (
                f"{self.name} ({type(model).__name__}) is not built as other image-text-to-text models: {_cause(error)}"
            )
            raise ConfigError(msg) from error
        kind = f"{self.name} ({type(model).__name__})"
        if not gaps[name] <= tolerance:
            msg = f"{kind} computes its logits from hidden states in a way that is unknown here; choose another model"
            raise ConfigError(msg)
        if not earlier <= tolerance:
            msg = (
                f"{kind} lets tokens attend to later ones, so that completions have no likelihood; choose another model"
            )
            raise ConfigError(msg)
        reason = _reason_against(lambda: heads[name](_spliced(model, prompts, ids)), wanted, tolerance)
        if reason is None:
            return name, None
        if stepped := _reason_against(lambda: heads[name](_stepped(model, prompts, ids)), wanted, tolerance):
            msg = f"{kind} computes other things token by token than at once ({stepped}); choose another model"
            raise ConfigError(msg)
        return name, f"its own forward pass is not what features in place of their tokens give ({reason})"


def _reason_against(compute: Callable[[], Tensor], wanted: Tensor, tolerance: float) -> str | None:
    """Why logits are not those with the log-probabilities ``wanted``; None if they are."""
    try:
        gap = _gap(_logprobs(compute()), wanted)
    except _MISMATCH as error:
        return _cause(error)
    return None if gap <= tolerance else f"log-probabilities are off by {gap:.2g}"


def _own_states(model: "PreTrainedModel", prompts: ProcessedPrompts, ids: Tensor) -> Tensor:
    """Last hidden states [1, 1 + T, H] of one prompt and ``ids`` [1, T] by the model's own forward pass."""
    hidden: Tensor = model.model(**own_arguments(model, prompts, 0, ids), use_cache=False).last_hidden_state
    return hidden[:, -ids.shape[1] - 1 :]


def _stepped(model: "PreTrainedModel", prompts: ProcessedPrompts, ids: Tensor) -> Tensor:
    """As :func:`_own_states`, token by token behind the prompt's cache."""
    hidden, cache = prefilled_whole(model, prompts, 1)
    steps = [next_whole(model, ids[:, t, None], prompts.next_position + t, cache) for t in range(ids.shape[1])]
    return torch.cat([hidden[:, None], *steps], dim=1)


def _spliced(model: "PreTrainedModel", prompts: ProcessedPrompts, ids: Tensor) -> Tensor:
    """Last hidden states [1, 1 + T, H] of one prompt and ``ids`` [1, T] with features put in place."""
    assert prompts.own is not None
    tokens = torch.cat([prompts.input_ids, ids], dim=1)
    levels = _features(model, prompts.own.tensors[0], prompts.token_types[0])
    visual = pad(prompts.visual_mask, (0, ids.shape[1]))
    if len(levels[0]) != int(visual.sum()):
        msg = f"{int(visual.sum())} placeholders for {len(levels[0])} features"
        raise ValueError(msg)
    embeds = model.get_input_embeddings()(tokens)
    embeds = embeds.masked_scatter(visual[..., None], levels[0].to(embeds.dtype))
    further = {"visual_pos_masks": visual, "deepstack_visual_embeds": levels[1:]} if levels[1:] else {}
    after = prompts.next_position[:, None] + torch.arange(ids.shape[1], device=ids.device)
    positions = torch.cat([prompts.position_ids, after.expand(3, 1, -1)], dim=-1)
    output = run_language_model(
        model, position_ids=positions, inputs_embeds=embeds, attention_mask=None, use_cache=False, **further
    )
    hidden: Tensor = output.last_hidden_state
    return hidden[:, -ids.shape[1] - 1 :]


def _features(
    model: "PreTrainedModel", inputs: Mapping[str, Tensor], kinds: Tensor, stored: StoredFeatures | None = None
) -> list[Tensor]:
    """For each level the features [visual tokens, H] of one prompt with tokens of ``kinds`` [L], in order."""
    is_shown = {"image": "pixel_values" in inputs, "video": "pixel_values_videos" in inputs}
    found = {kind: features_of(model, inputs, kind, stored) for kind, there in is_shown.items() if there}
    if len(found) < 2:
        return next(iter(found.values()), [])
    return [in_prompt_order(*levels, kinds) for levels in zip(found["image"], found["video"], strict=True)]


def _visual_ids(model: "PreTrainedModel", processor: "ProcessorMixin") -> Tensor:
    """Token ids of placeholders of images and of videos, -1 where there are none; at index 0 and 1."""
    ids = []
    for kind in ("image", "video"):
        names = (f"{kind}_token_id", f"{kind}_token_index")
        held = [getattr(model.config, name, None) for name in names] + [getattr(processor, names[0], None)]
        ids.append(next((found for found in held if isinstance(found, int)), -1))
    return torch.tensor(ids)


def _token_types(model: "PreTrainedModel", processor: "ProcessorMixin", part: "BatchFeature") -> Tensor:
    """[L] kinds of the tokens of one prompt."""
    image, video = _visual_ids(model, processor).tolist()
    ids: Tensor = part["input_ids"][0]
    is_placeholder = (ids == image) | (ids == video)
    of_processor = part.get("mm_token_type_ids", torch.zeros_like(ids)[None])[0]
    is_video: Tensor = (ids == video) & (ids != image) | (of_processor == VIDEO)
    kinds: Tensor = torch.where(is_video, VIDEO, IMAGE).int() * is_placeholder
    return kinds


def _positions(model: "PreTrainedModel", part: "BatchFeature", kinds: Tensor) -> Tensor:
    """[3, L] positions of the tokens of one prompt: the model's own in time, height and width, or their numbers."""
    ids = part["input_ids"]
    if not has_grid_positions(model):
        return torch.arange(ids.shape[1]).expand(3, -1)
    compute = model.model.get_rope_index
    taken = inspect.signature(compute).parameters
    held = {"mm_token_type_ids": kinds[None], **part}
    positions = compute(**{name: tensor for name, tensor in held.items() if name in taken})
    result: Tensor = positions[0][:, 0]
    return result


def _own_tensors(part: "BatchFeature", kinds: Tensor) -> dict[str, Tensor]:
    """The tensors of one prompt but its token ids, with the kinds of its tokens where the processor does not tell."""
    held = {name: value for name, value in part.items() if isinstance(value, Tensor) and name != "input_ids"}
    return {"mm_token_type_ids": kinds[None], **held}


def _logprobs(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits.float(), dim=-1)


def _gap(found: Tensor, wanted: Tensor) -> float:
    """Mean difference of log-probabilities that are finite."""
    is_finite = wanted.isfinite()
    return float((found - wanted)[is_finite].abs().mean())


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]
