import base64
import io
import re
from html.parser import HTMLParser

import pytest
import torch
from hypothesis import given, settings
from PIL import Image

from remot.evaluation import SampleRecord, completions_html
from remot.motion import PAIRS
from remot.structures import MotionLabel, Question, Slot, Video
from remot.viewer.images import MAX_PROMPT_BYTES
from tests.helpers import hostile_text, make_question, respond

ATTACK = "</pre><script>alert(1)</script><img src=http://x onerror=alert(1)>'\"&"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def tags_of(page):
    parser = Tags()
    parser.feed(page)
    return parser.found


def frames(height=6, width=8, count=3):
    return [torch.full((3, height, width), 80 * i, dtype=torch.uint8) for i in range(count)]


def page_of(*completions, question=None, rewards=(), title="t"):
    return completions_html([SampleRecord(frames(), question or make_question(), completions, rewards)], title)


def test_three_frames_are_embedded_and_scaled_up():
    images = [attrs for tag, attrs in tags_of(page_of(respond("ABB"))) if tag == "img"]
    assert len(images) == 3
    for i, attrs in enumerate(images):
        kind, data = re.fullmatch(r"data:image/(png);base64,(.+)", attrs["src"]).groups()
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert (kind, image.size, image.getpixel((0, 0))) == ("png", (8, 6), (80 * i,) * 3)
        assert (attrs["width"], attrs["height"], attrs["class"]) == ("256", "192", "pixelated")


def test_large_frames_are_shrunk():
    sample = SampleRecord(frames(480, 640, count=1), make_question(), ["x"])
    (attrs,) = [attrs for tag, attrs in tags_of(completions_html([sample], "t")) if tag == "img"]
    assert (attrs["width"], attrs["height"]) == ("256", "192")
    assert len(attrs["src"]) < 20_000


def strip_of(num_frames):
    """Frames of grey level 10 k at k/4 seconds."""
    levels = torch.arange(num_frames, dtype=torch.uint8) * 10
    video = Video(levels[:, None, None, None].expand(-1, 3, 6, 8), tuple(k / 4 for k in range(num_frames)))
    page = completions_html([SampleRecord([], make_question(), ["x"], videos=[video])], "t")
    shown = [attrs for tag, attrs in tags_of(page) if tag == "img"]
    pictures = [Image.open(io.BytesIO(base64.b64decode(attrs["src"].split(",")[1]))) for attrs in shown]
    return page, [attrs["alt"] for attrs in shown], [image.getpixel((0, 0))[0] for image in pictures]


def test_a_video_is_a_strip_of_frames_with_their_times():
    page, times, levels = strip_of(3)
    assert times == re.findall(r"<figcaption>([^<]*)", page) == ["0.00 s", "0.25 s", "0.50 s"]
    assert levels == [0, 10, 20]
    assert "video 1: 3 frames<" in page


def test_of_a_long_video_some_frames_are_shown():
    """16 of 25, the first and the last among them."""
    page, times, levels = strip_of(25)
    assert len(times) == 16
    assert levels == sorted(set(levels))
    assert (levels[0], levels[-1], times[-1]) == (0, 240, "6.00 s")
    assert "25 frames, 16 of them shown" in page
    assert strip_of(1)[1] == ["0.00 s"]


def test_large_frames_of_a_video_are_small_on_the_page():
    """Sixteen frames of 480 x 640 that are nothing but noise."""
    frames = torch.randint(0, 256, (16, 3, 480, 640), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    video = Video(frames, tuple(k / 4 for k in range(16)))
    page = completions_html([SampleRecord([], make_question(), ["x"], videos=[video])], "t")
    assert {(a["width"], a["height"]) for tag, a in tags_of(page) if tag == "img"} == {("160", "120")}
    embedded = sum(len(a["src"]) for tag, a in tags_of(page) if tag == "img")
    assert embedded < MAX_PROMPT_BYTES * 4 / 3 + 16 * 50


def test_right_and_wrong_slots_are_marked():
    """ABA against ABB: right, right, wrong; then an answer that is too long and one that is empty."""
    page = page_of(respond("ABA"), respond("ABBCC"), "no tags")
    first, second, third = page.split('<div class="completion wrong"')[1:]
    assert re.findall(r'slot (right|wrong)">([^<]*)', first) == [
        ("right", "1→2 A right"),
        ("right", "1→3 B left"),
        ("wrong", "2→3 A right"),
    ]
    assert '<span class="slot wrong">+2 more: CC</span>' in second
    assert third.count("no answer") == 3


def test_rewards_are_shown_and_the_best_is_marked():
    page = page_of("x", "y", rewards=[{"total": 1.0, "logic": float("nan")}, {"total": 2.5}])
    assert "total 2.5" in page
    assert "logic n/a" in page
    assert page.count('class="completion wrong best"') == 1
    assert page.index("wrong best") > page.index("total 1<")


def test_nothing_loads_and_nothing_runs():
    page = page_of(ATTACK, title=ATTACK, rewards=[{ATTACK: 1.0}])
    tags = tags_of(page)
    assert {tag for tag, _ in tags}.isdisjoint({"link", "iframe", "a", "object"})
    assert [tag for tag, _ in tags].count("script") == 1  # the page's own, see tests/viewer
    assert all(attrs["src"].startswith("data:image/") for tag, attrs in tags if tag == "img")
    assert not any(name.startswith("on") for _, attrs in tags for name in attrs)
    assert "default-src 'none'" in page


@settings(max_examples=100, deadline=None)
@given(hostile_text)
def test_hostile_text_stays_text(completion):
    def skeleton(text):  # the fold of a think element is ours
        return [tag for tag, _ in tags_of(page_of(text)) if tag not in {"span", "i", "details", "summary", "pre"}]

    assert skeleton(completion) == skeleton("harmless")
    page_of(completion).encode("utf-8")


def test_endless_completions_are_cut():
    page = page_of("x" * 1_000_000)
    assert len(page) < 20_000
    assert "996000 more characters" in page


def test_wrong_images_and_rewards_are_named():
    with pytest.raises(ValueError, match=r"image 1.*float32.*3, 4, 4"):
        completions_html([SampleRecord([torch.zeros(3, 4, 4)], make_question(), ["x"])], "t")
    with pytest.raises(ValueError, match="2 completions but 1 rewards"):
        SampleRecord(frames(), make_question(), ["x", "y"], [{}])


def test_no_samples_is_a_page():
    assert "No samples" in completions_html([], "empty")


def numeric():
    golds = (("right", "20"), ("none", "0"), ("left", "-30"))
    slots = tuple(
        Slot(MotionLabel(pair, "camera_yaw", value, abs(float(gold)), "degrees"), (), gold, "", 5.0)
        for pair, (value, gold) in zip(PAIRS, golds, strict=True)
    )
    return Question("q", "?", slots, "test", "s", format="fill_in")


def claims():
    slots = tuple(
        Slot(MotionLabel(pair, "camera_yaw", "right", 20.0, "degrees"), ("true", "false"), gold, "TF")
        for pair, gold in zip(PAIRS, "TFT", strict=True)
    )
    return Question("q", "?", slots, "test", "s", format="true_false")


def marks(page):
    return re.findall(r'slot (right|wrong|gold)">([^<]*)', page)


def test_numbers_are_marked_within_their_tolerance():
    page = page_of(respond("24, 5.5, -30"), question=numeric())
    assert marks(page) == [
        ("gold", "1→2 20 right"),
        ("gold", "1→3 0 none"),
        ("gold", "2→3 -30 left"),
        ("right", "1→2 24 degrees"),
        ("wrong", "1→3 5.5 degrees"),
        ("right", "2→3 -30 degrees"),
    ]


def test_missing_and_surplus_numbers_are_marked():
    missing = marks(page_of(respond("20,"), question=numeric()))[3:]
    assert missing == [("right", "1→2 20 degrees"), ("wrong", "1→3 no answer"), ("wrong", "2→3 no answer")]
    surplus = marks(page_of(respond("20, 0, -30, 4, 5"), question=numeric()))[3:]
    assert surplus[3] == ("wrong", "+1 more: 4, 5")
    (long,) = marks(page_of(respond("x" * 5000), question=numeric()))[3:4]
    assert long == ("wrong", "1→2 " + "X" * 20 + " degrees")


def test_claims_are_marked():
    assert marks(page_of(respond("TTX"), question=claims())) == [
        ("gold", "1→2 T right"),
        ("gold", "1→3 F right"),
        ("gold", "2→3 T right"),
        ("right", "1→2 T true"),
        ("wrong", "1→3 T true"),
        ("wrong", "2→3 X no such option"),
    ]


@settings(max_examples=100, deadline=None)
@given(hostile_text)
def test_hostile_text_stays_text_among_numbers(completion):
    for question in (numeric(), claims()):
        skeleton = [tag for tag, _ in tags_of(page_of(respond(completion), question=question)) if tag != "span"]
        assert skeleton == [tag for tag, _ in tags_of(page_of(respond("1"), question=question)) if tag != "span"]
