"""A self-contained page that shows completions beside the images and videos they are about.

No scripts and no network: images are embedded, and a content policy forbids everything else. Completions are hostile
text, so every word from outside goes through :func:`_safe`.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import torch
from torch import Tensor

from remot.answers import parse_response
from remot.rewards.functional import answers_of, is_right, option_of
from remot.structures import Question, Slot, Video
from remot.terminal import page_text

#: Shown per completion; more is cut, with a note.
MAX_SHOWN_CHARS = 4000

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2024;background:#fff}
section{border-top:1px solid #c8ccd0;margin-top:1.5rem;padding-top:1rem}
h1{font-size:1.4rem}h2{font-size:1rem;overflow-wrap:anywhere}
figure{display:inline-block;margin:0 .6rem .6rem 0}figcaption{color:#666}
img{display:block}.pixelated{image-rendering:pixelated}
pre{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;margin:.3rem 0;font-size:13px}
.completion{background:#f4f5f6;border-radius:6px;padding:.5rem .8rem;margin:.6rem 0}
.completion.best{background:#eaf6ec}
.slot{display:inline-block;border-radius:4px;padding:0 .4rem;margin-right:.4rem;color:#fff}
.right{background:#18794e}.wrong{background:#b42318}.gold{background:#475467}
.reward{color:#555;margin-right:.9rem;white-space:nowrap}
"""
_CUT_OFF = "<p><i>cut off at the longest completion allowed</i></p>"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, eq=False)
class SampleRecord:
    """One prompt and what the policy said to it.

    Args:
        images: uint8 tensors [3, H, W] in the order shown to the policy.
        question: The prompt's question.
        completions: G texts.
        rewards: G mappings from reward part to value, ``total`` among them; empty if not scored.
        videos: Videos shown after the images.
        cut_off: For each completion whether it was cut off at the budget of new tokens; empty if unknown.
    """

    images: Sequence[Tensor]
    question: Question
    completions: Sequence[str]
    rewards: Sequence[Mapping[str, float]] = ()
    videos: Sequence[Video] = ()
    cut_off: Sequence[bool | None] = ()

    def __post_init__(self) -> None:
        if self.rewards and len(self.rewards) != len(self.completions):
            msg = f"{len(self.completions)} completions but {len(self.rewards)} rewards in {self.question.prompt_id}"
            raise ValueError(msg)


def completions_html(samples: Sequence[SampleRecord], title: str, notes: Sequence[str] = ()) -> str:
    """The page as one string of valid UTF-8."""
    body = "".join(_sample_html(sample) for sample in samples) or "<p>No samples.</p>"
    paragraphs = "".join(f"<p>{_safe(note)}</p>" for note in notes)
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{_safe(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{_safe(title)}</h1>{paragraphs}{body}</body></html>"
    )


def _safe(text: str) -> str:
    """``text`` as inert HTML: escaped, control characters made visible, no lone surrogates."""
    return page_text("".join(chr(0x2400 + ord(c)) if c < " " and c not in "\n\t" else c for c in text))


def _sample_html(sample: SampleRecord) -> str:
    question = sample.question
    images = "".join(image_figure(image, f"image {number}") for number, image in enumerate(sample.images, 1))
    videos = "".join(video_strip(video, number) for number, video in enumerate(sample.videos, 1))
    return (
        f"<section><h2>{_safe(question.prompt_id)} <small>({_safe(question.domain)})</small></h2>{images}{videos}"
        f"<pre>{_safe(question.text)}</pre><p>truth: {_truth_html(question)}</p>{_completions_html(sample)}</section>"
    )


def _truth_html(question: Question) -> str:
    """The right answers of the slots, else the response to learn."""
    if not question.slots:
        return f"<pre>{_shortened(question.target)}</pre>"
    marks = ((slot.label.pair, f"{slot.gold} {slot.label.value}") for slot in question.slots)
    return "".join(f'<span class="slot gold">{pair[0]}→{pair[1]} {_safe(text)}</span>' for pair, text in marks)


def _completions_html(sample: SampleRecord) -> str:
    rewards = sample.rewards or [{} for _ in sample.completions]
    totals = [reward.get("total", math.nan) for reward in rewards]
    best = max((total for total in totals if not math.isnan(total)), default=math.nan)
    cut_off = sample.cut_off or [None] * len(sample.completions)
    return "".join(
        f'<div class="completion{" best" if total == best else ""}">{_verdict_html(text, sample.question)}'
        f"{_rewards_html(reward)}<pre>{_shortened(text)}</pre>{_CUT_OFF if is_cut else ''}</div>"
        for text, reward, total, is_cut in zip(sample.completions, rewards, totals, cut_off, strict=True)
    )


def _verdict_html(completion: str, question: Question) -> str:
    """One coloured mark per slot, then what was said beyond the last slot; nothing without slots."""
    if not question.slots:
        return ""
    given = answers_of(parse_response(completion).answer, question)
    marks = []
    for place, slot in enumerate(question.slots):
        said = given[place] if place < len(given) else ""
        kind = "right" if is_right(said, slot) else "wrong"
        marks.append(f'<span class="slot {kind}">{_safe(f"{said.strip()[:20]} {_meaning(said, slot)}".strip())}</span>')
    rest = given[len(question.slots) :]
    if rest:
        marks.append(f'<span class="slot wrong">+{len(rest)} more: {_safe("".join(rest).strip()[:20])}</span>')
    return f"<div>{''.join(marks)}</div>"


def _meaning(said: str, slot: Slot) -> str:
    if not said.strip():
        return "no answer"
    return slot.label.unit if slot.tolerance is not None else option_of(said, slot) or "no such option"


def _rewards_html(rewards: Mapping[str, float]) -> str:
    parts = (f'<span class="reward">{_safe(name)} {_number(value)}</span>' for name, value in rewards.items())
    return f"<div>{''.join(parts)}</div>"


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:z.3g}"


def _shortened(text: str) -> str:
    if len(text) <= MAX_SHOWN_CHARS:
        return _safe(text)
    return f"{_safe(text[:MAX_SHOWN_CHARS])}\n<i>… {len(text) - MAX_SHOWN_CHARS} more characters</i>"


#: Widths in pixels that images, and frames of videos, are shown at.
SHOWN_WIDTH, FRAME_WIDTH = 256, 128
#: Frames shown of a video; of more, so many that lie evenly.
MAX_SHOWN_FRAMES = 16
#: Wider originals are embedded with losses; small ones are what the policy saw, pixel by pixel.
_JPEG_ABOVE = 192


def image_figure(image: Tensor, caption: str, width: int = SHOWN_WIDTH) -> str:
    """A figure: small images are scaled up in whole pixels, large ones are shrunk before they are embedded.

    Args:
        image: uint8 [3, H, W].
        caption: What to call it; plain words of ours, not escaped.
        width: Largest width in pixels.

    Raises:
        ValueError: If ``image`` is no such tensor.
    """
    from PIL import Image

    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        msg = f"{caption} is {image.dtype} of shape {tuple(image.shape)}, expected uint8 [3, H, W]"
        raise ValueError(msg)
    shown = Image.fromarray(image.permute(1, 2, 0).cpu().numpy())
    scale = max(1, width // shown.width)
    shown_as = ' class="pixelated"' if scale > 1 else ""
    if shown.width > width:
        shown.thumbnail((width, width * 4))
    kind = "jpeg" if image.shape[-1] > _JPEG_ABOVE else "png"
    buffer = BytesIO()
    shown.save(buffer, format=kind, quality=90)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<figure><img{shown_as} width="{shown.width * scale}" height="{shown.height * scale}" alt="{caption}" '
        f'src="data:image/{kind};base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def video_strip(video: Video, number: int) -> str:
    """The frames of a video in a row, each with its time.

    Args:
        video: What the policy was shown.
        number: Which video of the prompt, counted from 1.
    """
    count = min(len(video), MAX_SHOWN_FRAMES)
    chosen = [round(k * (len(video) - 1) / max(1, count - 1)) for k in range(count)]
    frames = "".join(image_figure(video.frames[k], f"{video.pts_seconds[k]:.2f} s", width=FRAME_WIDTH) for k in chosen)
    left_out = f", {count} of them shown" if count < len(video) else ""
    return f"<div><p>video {number}: {len(video)} frames{left_out}</p>{frames}</div>"
