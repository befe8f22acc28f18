"""The page: one HTML file with one style sheet and one small script, which loads nothing.

Texts come from models and annotation files and are hostile: each goes through :mod:`remot.viewer.text`. A content
policy forbids all loading, and any script or style but the two of this package, which it names by their hashes.
"""

import base64
import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from PIL import Image

from remot.answers import THINK_CLOSE, THINK_OPEN
from remot.terminal import printable_html
from remot.viewer.cards import STATES, Answer, Card, Mark
from remot.viewer.images import LOSSLESS_WIDTH, MAX_SIDE, data_uri, image_budget
from remot.viewer.text import MAX_NAME_CHARS, shortened
from remot.viewer.timeline import timeline_html

#: Width in pixels that an image is shown at; in a strip of more than :data:`FEW_IMAGES` images.
SHOWN_WIDTH, STRIP_WIDTH = 256, 160
FEW_IMAGES = 4
#: Cards beyond these are hidden until their page is asked for; the script has the same number.
CARDS_PER_PAGE = 20
#: Marks shown of an answer; what an answer says is not bounded otherwise.
MAX_MARKS = 24
#: Longest right answer that is shown as a mark.
SHORT_CHARS = 60
_NAMES_OF_TAGS = ("task", "attribute", "domain")


def page_html(cards: Iterable[Card], title: str, notes: Sequence[str] = ()) -> str:
    """The page as one string of valid UTF-8."""
    return "".join(page_parts(cards, title, notes))


def write_page(file: Path, cards: Iterable[Card], title: str, notes: Sequence[str] = ()) -> None:
    """Write the page, one card after another, so that their images need not be in memory together.

    Raises:
        OSError: If it cannot be written.
    """
    with file.open("w", encoding="utf-8") as page:
        page.writelines(page_parts(cards, title, notes))


def page_parts(cards: Iterable[Card], title: str, notes: Sequence[str] = ()) -> Iterator[str]:
    """The page piece by piece; the form for filters is filled in by the script, from the cards."""
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    paragraphs = "".join(f"<p>{shortened(note)}</p>" for note in notes)
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{shortened(title, MAX_NAME_CHARS)}</title><style>{style}</style><script>{script}</script></head>"
        f"<body><h1>{shortened(title, MAX_NAME_CHARS)}</h1>{paragraphs}{_form_html()}<main>"
    )
    number = -1
    for number, card in enumerate(cards):
        yield card_html(card, later=number >= CARDS_PER_PAGE)
    yield "</main></body></html>\n" if number >= 0 else "<p>No samples.</p></main></body></html>\n"


def _asset(name: str) -> str:
    return (files("remot") / "assets" / "viewer" / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def _form_html() -> str:
    selects = "".join(
        f'<label>{name}<select data-tag="{name}"><option value="">all</option></select></label>'
        for name in _NAMES_OF_TAGS
    )
    states = "".join(f'<option value="{name}">{words}</option>' for name, words in STATES.items())
    return (
        f'<form class="filters">{selects}<label>with<select data-state><option value="">any answers</option>{states}'
        '</select></label><label>text<input type="search" maxlength="200"></label>'
        '<span class="pager"><button type="button" data-turn="-1">‹ back</button><output></output>'
        '<button type="button" data-turn="1">next ›</button></span></form>'
    )


def card_html(card: Card, *, later: bool = False) -> str:
    """One prompt."""
    tags = {name: card.tags[name][:MAX_NAME_CHARS] for name in _NAMES_OF_TAGS if card.tags.get(name)}
    data = "".join(f' data-{name}="{printable_html(value)}"' for name, value in tags.items())
    shown = "".join(f'<span class="tag">{printable_html(value)}</span>' for value in dict.fromkeys(tags.values()))
    facts = "".join(f"<li>{shortened(fact, MAX_NAME_CHARS)}</li>" for fact in card.facts)
    facts = f"<ul>{facts}</ul>" if facts else ""
    is_short = len(card.gold_text) <= SHORT_CHARS and "\n" not in card.gold_text
    marks: list[Mark] = [*card.gold]
    if card.gold_text and is_short:
        marks.append(("gold", card.gold_text))
    gold = "" if is_short else f"<pre>{shortened(card.gold_text)}</pre>"
    runs = ""
    for run in card.runs:
        heading = f"<h3>{shortened(run, MAX_NAME_CHARS)}</h3>" if run else ""
        answers = "".join(_answer_html(one) for one in card.answers if one.run == run)
        runs += f'<section class="run">{heading}{answers}</section>'
    return (
        f'<article{" class=later" if later else ""}{data} data-states="{" ".join(card.states)}">'
        f"<h2>{shortened(card.title, MAX_NAME_CHARS)} {shown}</h2>{_images_html(card)}"
        f"{timeline_html(card.timeline) if card.timeline else ''}"
        f'<div class="columns"><section class="asked"><pre>{shortened(card.question)}</pre>'
        f'<p class="truth">right: {_marks_html(marks)}</p>{gold}{facts if card.answers else ""}</section>'
        f"{runs if card.answers else facts}</div></article>\n"
    )


def _images_html(card: Card) -> str:
    budget = image_budget(len(card.images))
    width = SHOWN_WIDTH if len(card.images) <= FEW_IMAGES else STRIP_WIDTH
    figures = "".join(
        _figure_html(image, caption, width, budget) for image, caption in zip(card.images, card.captions, strict=True)
    )
    few = " few" if len(card.images) <= FEW_IMAGES else ""
    return f'<div class="frames{few}">{figures}</div>' if figures else ""


def _figure_html(image: Image.Image, caption: str, width: int, budget: int) -> str:
    """An image at most ``width`` wide and three times as high: small ones in whole pixels."""
    scale = min(width / image.width, 3 * width / image.height)
    if scale > 1:
        scale = math.floor(scale) if image.width <= LOSSLESS_WIDTH else 1
    kind = ' class="pixelated"' if scale > 1 else ""
    shown_width, shown_height = (max(1, round(side * scale)) for side in image.size)
    source = data_uri(image, budget, min(MAX_SIDE, 2 * max(shown_width, shown_height)))
    words, alternative = shortened(caption, MAX_NAME_CHARS), printable_html(caption[:MAX_NAME_CHARS])
    return (
        f'<figure><img{kind} width="{shown_width}" height="{shown_height}" alt="{alternative}" '
        f'loading="lazy" decoding="async" src="{source}"><figcaption>{words}</figcaption></figure>'
    )


def _marks_html(marks: Sequence[Mark]) -> str:
    return "".join(
        f'<span class="slot {kind}">{shortened(words, MAX_NAME_CHARS)}</span>' for kind, words in marks[:MAX_MARKS]
    )


def _answer_html(answer: Answer) -> str:
    verdict = {True: " right", False: " wrong", None: ""}[answer.right]
    # a think element that does not end is all thought
    thinking, closed, rest = answer.text.partition(THINK_CLOSE)
    if closed or answer.text.lstrip().startswith(THINK_OPEN):
        thinking, rest = thinking.lstrip().removeprefix(THINK_OPEN), rest.strip("\n")
    else:
        thinking, rest = "", answer.text
    folded = (
        f"<details><summary>thinking, {len(thinking)} characters</summary><pre>{shortened(thinking)}</pre></details>"
        if thinking.strip()
        else ""
    )
    notes = ["contradictory"] if answer.contradictory else []
    notes += ["cut off at the longest completion allowed"] if answer.cut_off else []
    words = "".join(f'<span class="note">{note}</span>' for note in notes)
    read_as = f'<p class="read">read as {shortened(answer.read_as, MAX_NAME_CHARS)}</p>' if answer.read_as else ""
    numbers = {name: "n/a" if math.isnan(value) else f"{value:z.3g}" for name, value in answer.parts.items()}
    parts = "".join(
        f'<span class="reward">{shortened(name, MAX_NAME_CHARS)} {number}</span>' for name, number in numbers.items()
    )
    parts = f'<div class="parts">{parts}</div>' if parts else ""
    kind = f"completion{verdict}{' best' if answer.best else ''}"
    return (
        f'<div class="{kind}"><div>{_marks_html(answer.marks)}{words}</div>'
        f"{folded}<pre>{shortened(rest)}</pre>{read_as}{parts}</div>"
    )
