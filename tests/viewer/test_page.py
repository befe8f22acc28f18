"""The page: inert whatever it is given, paged, and of bounded size."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from remot.viewer import Answer, Card, Timeline, TimelineRow, page_html, side_by_side
from remot.viewer.images import MAX_IMAGE_BYTES, MAX_PROMPT_BYTES, data_uri
from remot.viewer.page import CARDS_PER_PAGE
from remot.viewer.text import MAX_NAME_CHARS

#: Breaks out of attributes, elements and style sheets; with controls, a change of direction and half a character.
HOSTILE = "\"'></pre></script><script>alert(1)</script><img src=http://x onerror=a>]]>\x00\x1b\x7f\x85\x9b\u202e\ud800&"
LONG = "n" * 10 * MAX_NAME_CHARS


class Seen(HTMLParser):
    """Tags with their attributes, the text of what is shown, and that of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.code = [], "", {"script": [], "style": []}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] in self.code and len(self.code[self.tags[-1][0]]) < 1:
            self.code[self.tags[-1][0]].append(data)
        else:
            self.text += data

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def card(text="<think>it went</think><answer>A</answer>", title="q", **changes):
    images = [Image.new("RGB", (64, 48), "red")]
    settings = {"question": "?", "answers": [Answer(text, right=True)], "tags": {"task": "t"}}
    return Card(title, images, ["image 1"], **(settings | changes))


def hostile_card():
    rows = (TimelineRow(HOSTILE, ((0.1, 0.5),)), TimelineRow(LONG, curve=((0.0, 0.2), (1.0, 0.9)), colour=3))
    answer = Answer(HOSTILE, [("right", HOSTILE), ("wrong", LONG)], {HOSTILE: 1.0}, read_as=HOSTILE, run=HOSTILE)
    return Card(
        HOSTILE,
        [Image.new("RGB", (8, 6))],
        [HOSTILE],
        HOSTILE,
        [("gold", HOSTILE)],
        HOSTILE,
        [answer],
        [HOSTILE, LONG],
        {"task": HOSTILE, "attribute": LONG, "domain": HOSTILE},
        Timeline(0.0, 1.0, (0.5,), rows),
    )


def test_only_the_page_s_own_script_and_style_may_run_and_nothing_is_loaded():
    """The policy names both by their hashes; neither hash can be of anything that a prompt says."""
    page = page_html([hostile_card()], HOSTILE, [HOSTILE])
    seen = Seen(page)
    policy = next(one["content"] for one in seen.of("meta") if one.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "connect-src" not in rules
    for kind in ("script", "style"):
        (code,) = seen.code[kind]
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
        assert len(seen.of(kind)) == 1
    for tag, attrs in seen.tags:
        assert tag not in {"iframe", "object", "embed", "link", "base", "a"}
        assert not any(name.startswith("on") or name == "style" for name in attrs)
        assert attrs.get("src", "data:image/").startswith("data:image/")


def test_hostile_words_are_text_without_controls():
    page = page_html([hostile_card()], HOSTILE, [HOSTILE])
    seen = Seen(page)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    assert "<img src=http://x onerror=a>" in seen.text
    assert len(seen.of("img")) == 1
    page.encode("utf-8")


@pytest.mark.parametrize("place", ["title", "captions", "facts", "attribute", "row"])
def test_long_names_are_cut(place):
    one = {
        "title": card(title=LONG),
        "captions": Card("q", [Image.new("RGB", (8, 6))], [LONG], "?"),
        "facts": card(facts=[LONG]),
        "attribute": card(tags={"attribute": LONG}),
        "row": card(timeline=Timeline(0.0, 1.0, (), (TimelineRow(LONG),))),
    }[place]
    longest = max(map(len, re.findall("n+", page_html([one], "t"))))
    assert longest == MAX_NAME_CHARS


def test_joiners_and_letters_of_any_language_stay():
    assert "می‌روم 👨‍👩‍👧 哪里 é\u00a0x" in page_html([card("می‌روم 👨‍👩‍👧 哪里 é\u00a0x")], "t")


def test_thinking_is_folded_and_the_answer_is_not():
    page = page_html([card(), card("<think>on and on"), card("plain")], "t")
    assert page.count("<details>") == 2
    assert "<summary>thinking, 7 characters</summary><pre>it went</pre></details><pre>&lt;answer&gt;A" in page
    assert "<summary>thinking, 9 characters</summary><pre>on and on</pre></details><pre></pre>" in page
    assert "<pre>plain</pre>" in page


def test_states_are_those_of_any_answer():
    answers = [Answer("a", right=False, contradictory=True), Answer("b", right=True, cut_off=True), Answer("c")]
    (attrs,) = Seen(page_html([card(answers=answers)], "t")).of("article")
    assert attrs["data-states"].split() == ["right", "wrong", "contradictory", "cut_off"]
    assert Seen(page_html([card(answers=[Answer("c")])], "t")).of("article")[0]["data-states"] == ""


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ((False,), (True,), ["right", "wrong", "gained"]),
        ((True,), (False,), ["right", "wrong", "lost"]),
        ((True, False), (False, True), ["right", "wrong"]),
        ((None,), (True,), ["right"]),
        ((False,), (False,), ["wrong"]),
    ],
)
def test_two_runs_are_columns_and_what_changed_is_known(before, after, found):
    first, second = ([Answer(f"{name}{k}", right=one) for k, one in enumerate(rights)]
                     for name, rights in (("old", before), ("new", after)))  # fmt: skip
    joint = side_by_side(card(answers=first), card(answers=second), ("base", "trained"))
    assert joint.states == found
    page = page_html([joint], "t")
    assert page.count('<section class="run">') == 2
    base, trained = page.index("<h3>base</h3>"), page.index("<h3>trained</h3>")
    assert base < page.index("old0") < trained < page.index("new0")


def test_cards_beyond_the_first_page_wait():
    seen = Seen(page_html([card(title=f"q{k}") for k in range(CARDS_PER_PAGE + 3)], "t"))
    assert [attrs.get("class") for attrs in seen.of("article")] == [None] * CARDS_PER_PAGE + ["later"] * 3
    assert f"size = {CARDS_PER_PAGE}," in seen.code["script"][0]
    assert all((one["loading"], one["decoding"]) == ("lazy", "async") for one in seen.of("img"))


def embedded(page):
    return [base64.b64decode(one["src"].partition(",")[2]) for one in Seen(page).of("img")]


@pytest.mark.parametrize("count", [1, 3, 16, 40])
def test_images_of_a_prompt_have_a_size_bound(count):
    """Noise does not compress; the smallest of many images stays one that can be opened."""
    images = [noise(640, 480, seed) for seed in range(2)] * count
    contents = embedded(page_html([Card("q", images[:count], [""] * count, "?")], "t"))
    assert sum(map(len, contents)) <= MAX_PROMPT_BYTES
    assert all(len(one) <= MAX_IMAGE_BYTES for one in contents)
    assert Image.open(io.BytesIO(contents[-1])).width > 100 or count == 40


def test_a_small_image_is_embedded_without_losses_and_a_small_one_of_noise_fits():
    small = noise(32, 24)
    kind, _, content = data_uri(small).partition(",")
    assert kind == "data:image/png;base64"
    assert list(Image.open(io.BytesIO(base64.b64decode(content))).getdata()) == list(small.getdata())
    assert data_uri(noise(190, 190), 4000).startswith("data:image/jpeg")
    assert len(data_uri(noise(190, 190), 4000)) < 4000 * 4 / 3 + 50
