"""Data of a run: bad clips, scenes, repeated prompts, and how long prompts are."""

import statistics
import time
from collections.abc import Iterator

from remot.commands.diagnosis.findings import Finding
from remot.data.datasets.loaders import collate_prompts
from remot.data.prompt_data import PromptData
from remot.data.remote import named_root
from remot.datatools.validation import CheckedClip, check_clips
from remot.errors import RemotError
from remot.models.sizes import visual_tokens
from remot.structures import PromptBatch, interval_note

#: Seconds for looking at clips one by one and for measuring prompts, and prompts that are measured together.
CLIP_SECONDS, PROMPT_SECONDS, MEASURED_TOGETHER = 15.0, 20.0, 4
#: Share of clips with a question below which a line is added, and characters of a token where there is no tokenizer.
FEW_CLIPS, CHARS_PER_TOKEN = 0.5, 4.0
#: Tokens of a chat template around a prompt, and around an image.
_TEMPLATE_TOKENS, _IMAGE_TOKENS = 12, 2


def data_findings(data: PromptData) -> Iterator[Finding]:
    """Faults that would stop the run, clips that are left out, splits with too few scenes, prompts that repeat."""
    try:
        data.setup()
    except RemotError as error:
        yield Finding("fail", "data", str(error), "remot data validate DIR names every bad clip")
        return
    counts = ", ".join(f"{name} {len(one)}" for name, one in data.prompts.items())
    scenes = ", ".join(f"{name} {count}" for name, count in data.num_scenes.items())
    text = f"{data.records or named_root(data.root)}: prompts {counts}; scenes {scenes}"
    yield Finding("fine", "data", text, facts={"splits": len(data.prompts)})
    if data.records is None:
        yield _clip_finding(data)
    else:
        yield Finding("open", "clips", f"{data.records} holds finished prompts; remot data audit checks a built folder")
    yield _scene_finding(data)
    for line in data.describe():
        if "warning" in line or line.startswith("left out"):
            yield Finding("warn", "prompts", line, "add clips, or ask for fewer prompts")


def _clip_finding(data: PromptData) -> Finding:
    """Clips one after another until time is over; images are not decoded."""
    checked: list[CheckedClip] = []
    end = time.monotonic() + CLIP_SECONDS
    num_sources = len(data.reader.sources(data.root))
    for one in check_clips(data.reader, data.root, data.tasks, decode=False):
        checked.append(one)
        if time.monotonic() > end:
            break
    faults = [one.fault for one in checked if one.fault]
    mute = sum(not one.attributes for one in checked if not one.fault)
    part = "" if len(checked) >= num_sources else f" of {num_sources}, the rest for lack of time not"
    text = f"{len(checked)} clips looked at{part} without decoding: {len(faults)} bad, {mute} nothing is asked about"
    facts = {"checked": len(checked), "bad": len(faults), "mute": mute}
    if faults:
        return Finding("warn", "clips", f"{text}; the first: {faults[0]}", "remot data validate DIR names all", facts)
    if mute > FEW_CLIPS * len(checked):
        return Finding("warn", "clips", text, "loosen the experts' thresholds; docs/troubleshooting.md says how", facts)
    return Finding("fine", "clips", text, facts=facts)


def _scene_finding(data: PromptData) -> Finding:
    count = data.num_scenes.get("test", 0)
    note = interval_note(count) if count else "there is no test split, so nothing is compared before and after training"
    facts = {"test_scenes": count}
    if note:
        return Finding("warn", "test scenes", note, "add scenes, or raise data.test_fraction", facts)
    return Finding("fine", "test scenes", f"{count}, enough for 95 % intervals", facts=facts)


def first_prompts(data: PromptData, count: int, start: int = 0) -> PromptBatch:
    """The training prompts that the run would begin with.

    Raises:
        RemotError: If an image cannot be decoded.
    """
    train = data.prompts["train"]
    return collate_prompts([train.prompt(address) for address in range(start, start + count)])


def measured_prompts(data: PromptData, count: int) -> Iterator[PromptBatch]:
    """The first training prompts in small batches, as long as there is time: all videos at once would fill memory."""
    end = time.monotonic() + PROMPT_SECONDS
    for start in range(0, count, MEASURED_TOGETHER):
        yield first_prompts(data, min(MEASURED_TOGETHER, count - start), start)
        if time.monotonic() > end:
            return


def estimated_lengths(batch: PromptBatch, visual_side: int, pixels: tuple[int, int]) -> list[int]:
    """Tokens of each prompt without a processor: images by their sizes, two frames of a video as one image.

    Args:
        batch: The prompts.
        visual_side: Side in pixels of what a visual token covers.
        pixels: Smallest and largest area of an image.
    """
    lengths = []
    for images, videos, question in zip(batch.images, batch.videos, batch.questions, strict=True):
        shapes = [image.shape[-2:] for image in images]
        shapes += [frame.shape[-2:] for video in videos for frame in video.frames[::2]]
        visual = sum(visual_tokens(height, width, visual_side, pixels) for height, width in shapes)
        text = len(question.text) / CHARS_PER_TOKEN
        lengths.append(round(visual + text + _TEMPLATE_TOKENS + _IMAGE_TOKENS * len(shapes)))
    return lengths


def length_finding(lengths: list[int], max_new_tokens: int, limit: int | None, how: str) -> Finding:
    """Prompt lengths against the model's longest sequence.

    Args:
        lengths: Tokens of each measured prompt.
        max_new_tokens: Longest completion.
        limit: Longest sequence of the model; None if it names none.
        how: How they were counted.
    """
    least, middle, most = min(lengths), round(statistics.median(lengths)), max(lengths)
    together = most + max_new_tokens
    text = (
        f"{least} to {most}, median {middle}, of {len(lengths)} prompts ({how}); with {max_new_tokens} new {together}"
    )
    facts = {"min": least, "median": middle, "max": most, "limit": limit}
    if limit is None:
        return Finding(
            "open", "tokens per prompt", f"{text}; the longest sequence of the model is not known", facts=facts
        )
    text += f" of the model's {limit}"
    if together > limit:
        advice = "lower model.policy.source.max_pixels, the number of frames or model.grpo.max_new_tokens"
        return Finding("fail", "tokens per prompt", text, advice, facts)
    return Finding("fine", "tokens per prompt", text, facts=facts)
