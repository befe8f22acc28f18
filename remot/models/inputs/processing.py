"""From prompts to tokens, positions and patches, by the model's own chat template, processor and rotary index."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.models.inputs.chat_template import render_prompt
from remot.models.inputs.feature_store import ReadFeatures, StoredFeatures
from remot.models.inputs.prompts import IMAGE, TEXT, VIDEO, ProcessedPrompts, VisualInputs
from remot.models.inputs.timestamps import require_times, video_metadata, whole_patches
from remot.models.inputs.tower import tower_levels
from remot.structures import PromptBatch

if TYPE_CHECKING:
    from transformers import BatchFeature, PreTrainedModel, ProcessorMixin

#: Stands for the policy's response while a chat template writes what follows it.
RESPONSE_MARK = "remot-response-4b1d"


def process_prompts(processor: "ProcessorMixin", model: "PreTrainedModel", batch: PromptBatch) -> ProcessedPrompts:
    """Chat template, tokeniser, and processors of images and videos, once per prompt.

    Every check is made on the host, before tensors are sent to the model's device, so that no check waits for a GPU.

    Raises:
        ConfigError: If a prompt's images or videos do not all reach the model, or a video's times do not.
    """
    return _process_texts(processor, model, batch, _rendered(processor, batch, prompt_text))


def process_replies(processor: "ProcessorMixin", model: "PreTrainedModel", batch: PromptBatch) -> ProcessedPrompts:
    """As :func:`process_prompts`, for what follows a response of the policy: end of turn, reply, and its next turn.

    Positions count from 0. Special tokens in the texts of the replies are replaced by spaces.
    """
    return _process_texts(processor, model, batch, _rendered(processor, batch, reply_text))


def _process_texts(
    processor: "ProcessorMixin", model: "PreTrainedModel", batch: PromptBatch, texts: list[str]
) -> ProcessedPrompts:
    inputs = _processed(processor, batch, texts)
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    is_image = ids == model.config.image_token_id
    video_token_id = getattr(model.config, "video_token_id", None)
    is_video = torch.zeros_like(is_image) if video_token_id is None else ids == video_token_id
    token_types = IMAGE * is_image.int() + VIDEO * is_video.int()  # [P, L]
    images = _visual_inputs(inputs, "pixel_values", "image_grid_thw", batch.images)
    videos = _visual_inputs(inputs, "pixel_values_videos", "video_grid_thw", batch.videos)
    merge = model.config.vision_config.spatial_merge_size
    _require_tokens(batch, images, token_types == IMAGE, merge, "images")
    _require_tokens(batch, videos, token_types == VIDEO, merge, "videos")
    positions = _positions(model, inputs, token_types)
    if videos is not None and "second_per_grid_ts" in inputs:
        intervals = inputs["second_per_grid_ts"] * model.config.vision_config.tokens_per_second
        require_times(positions[0][token_types == VIDEO], videos.grid_thw, merge, intervals.tolist())
    # One after the last real token, which is where the model's own pass over prompt and completion puts it.
    # A video's last moment may lie further: Qwen2.5-VL counts time faster than text.
    last = mask.sum(-1) - 1
    next_position = positions[0, torch.arange(len(ids), device=ids.device), last] + 1
    processed = ProcessedPrompts(ids, mask, positions, next_position, token_types, images, videos)
    return processed.to(next(model.parameters()).device)


def prompt_text(processor: "ProcessorMixin", content: list[dict[str, str]]) -> str:
    """A conversation's first prompt."""
    return render_prompt(processor, [{"role": "user", "content": content}])


def reply_text(processor: "ProcessorMixin", content: list[dict[str, str]]) -> str:
    """What follows a response of the policy: the chat template writes two turns, and this is what is behind the first.

    Raises:
        ConfigError: If the template leaves responses out.
    """
    *shown, worded = content
    worded = worded | {"text": without_special_tokens(processor, worded["text"])}
    before = [("user", "?"), ("assistant", RESPONSE_MARK)]
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in before]
    rendered = render_prompt(processor, [*messages, {"role": "user", "content": [*shown, worded]}])
    _, found, behind = rendered.partition(RESPONSE_MARK)
    if not found:
        msg = "the model's chat template leaves earlier responses out, and cannot hold a conversation of several turns"
        raise ConfigError(msg)
    return behind


def without_special_tokens(processor: "ProcessorMixin", text: str) -> str:
    """``text`` with a space in place of each special token, so that a reply opens no turn and names no image."""
    for token in processor.tokenizer.added_tokens_decoder.values():
        if token.special:
            text = text.replace(token.content, " ")
    return text


def _rendered(
    processor: "ProcessorMixin",
    batch: PromptBatch,
    render: Callable[["ProcessorMixin", list[dict[str, str]]], str],
) -> list[str]:
    """The texts of the prompts, with one placeholder for each image and video."""
    texts = []
    for images, videos, question in zip(batch.images, batch.videos, batch.questions, strict=True):
        shown = [*({"type": "image"} for _ in images), *({"type": "video"} for _ in videos)]
        text = render(processor, [*shown, {"type": "text", "text": question.text}])
        for kind, token, count in (("images", "image_token", len(images)), ("videos", "video_token", len(videos))):
            _require_placeholders(question.prompt_id, text, kind, getattr(processor, token, None), count)
        texts.append(text)
    return texts


def _require_placeholders(prompt_id: str, text: str, kind: str, token: str | None, count: int) -> None:
    found = text.count(token) if token else 0
    if found != count:
        msg = (
            f"the prompt {prompt_id!r:.80} has {count} {kind}, but its text has {found} placeholders for them; use a "
            f"model whose chat template shows {kind}, and keep {token or 'its placeholder'} out of the question's words"
        )
        raise ConfigError(msg)


def _processed(processor: "ProcessorMixin", batch: PromptBatch, texts: list[str]) -> "BatchFeature":
    images = list(chain.from_iterable(batch.images))
    videos = list(chain.from_iterable(batch.videos))
    arguments: dict[str, Any] = {"text": texts, "images": images or None}
    if videos:
        shown = [whole_patches(video, processor.video_processor.temporal_patch_size) for video in videos]
        arguments["videos"] = [frames for frames, _ in shown]
        arguments["videos_kwargs"] = {
            "do_sample_frames": False,  # the data chooses the frames
            "input_data_format": "channels_first",  # not to be guessed: a video may be 3 frames or 3 pixels wide
            "video_metadata": [video_metadata(times) for _, times in shown],
        }
    return processor(**arguments, return_tensors="pt", padding=True, padding_side="right")


def _visual_inputs(
    inputs: "BatchFeature", patches: str, grid: str, shown: Sequence[Sequence[object]]
) -> VisualInputs | None:
    if patches not in inputs:
        return None
    return VisualInputs(inputs[patches], inputs[grid], tuple(len(items) for items in shown))


def _require_tokens(
    batch: PromptBatch, shown: VisualInputs | None, is_token: Tensor, spatial_merge_size: int, kind: str
) -> None:
    """Every prompt has a token for each visual feature that it will get."""
    wanted = shown.num_tokens(spatial_merge_size) if shown is not None else [0] * len(batch)
    for question, count, found in zip(batch.questions, wanted, is_token.sum(-1).tolist(), strict=True):
        if count != found:
            msg = f"the {kind} of {question.prompt_id!r:.80} make {count} visual tokens, but its text has {found}"
            raise ConfigError(msg)


def _positions(model: "PreTrainedModel", inputs: "BatchFeature", token_types: Tensor) -> Tensor:
    """[3, P, L] rotary positions; a family that spaces frames by their times gets them."""
    named = ("image_grid_thw", "video_grid_thw", "second_per_grid_ts")
    positions, _ = model.model.get_rope_index(
        input_ids=inputs["input_ids"],
        mm_token_type_ids=token_types,
        attention_mask=inputs["attention_mask"],
        **{name: inputs[name] for name in named if name in inputs},
    )
    result: Tensor = positions
    return result


def visual_features(
    model: "PreTrainedModel",
    images: VisualInputs | None,
    videos: VisualInputs | None,
    token_types: Tensor,
    stored: StoredFeatures | None = None,
) -> list[Tensor]:
    """Features of the images and of the videos, for tokens of kinds [P, L].

    Without ``stored`` one pass of the vision tower over the images and one over the videos, long videos in parts. With
    it each image or video that is not stored is encoded by itself, so that a feature does not depend on what is stored.

    Returns:
        For each level (pooled first, then DeepStack levels) the features [visual tokens, H] in the order of their
        placeholders; no level if nothing is shown.
    """
    read = None if stored is None else stored.of(model)
    kinds = [
        tower_levels(model, kind, shown.patches, shown.grid_thw)
        if read is None
        else _read_levels(model, kind, shown, read)
        for kind, shown in (("image", images), ("video", videos))
        if shown is not None
    ]
    if len(kinds) < 2:
        return kinds[0] if kinds else []
    return [in_prompt_order(of_images, of_videos, token_types) for of_images, of_videos in zip(*kinds, strict=True)]


def _read_levels(model: "PreTrainedModel", kind: str, shown: VisualInputs, read: ReadFeatures) -> list[Tensor]:
    """As :func:`tower_levels`, one image or video after the other."""
    of_items = [
        read(kind, {"patches": patches, "grid_thw": grid}, partial(tower_levels, model, kind, patches, grid))
        for patches, grid in shown.items()
    ]
    return [torch.cat(level) for level in zip(*of_items, strict=True)]


def in_prompt_order(of_images: Tensor, of_videos: Tensor, token_types: Tensor) -> Tensor:
    """Features [image tokens, H] and [video tokens, H] as [visual tokens, H], each at the position of its token."""
    kinds = token_types[token_types != TEXT]
    order = torch.empty_like(kinds, dtype=torch.long)
    order[kinds == IMAGE] = torch.arange(len(of_images), device=kinds.device)
    order[kinds == VIDEO] = torch.arange(len(of_videos), device=kinds.device) + len(of_images)
    return torch.cat([of_images, of_videos])[order]
