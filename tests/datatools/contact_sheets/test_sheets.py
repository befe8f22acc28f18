"""Contact sheets: readable, whole, and harmless whatever the prompts say."""

import base64
import io
import re
import shutil
from contextlib import nullcontext
from html.parser import HTMLParser

import pytest
from PIL import Image

from remot.datatools.audit.built import read_built
from remot.datatools.contact_sheets import html_sheet, png_sheet, rows_of_folder
from remot.datatools.contact_sheets.page import IMAGE_WIDTH
from remot.errors import AnnotationError, ConfigError, DecodeError
from remot.viewer.images import MAX_SIDE
from tests.datatools.builds import VARIED, built, lines_of, varied_root, write_lines

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">&amp;'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheets")
    return built(varied_root(folder / "clips"), folder / "out", 40, **VARIED)[0]


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


class Seen(HTMLParser):
    """Tags, sources of images and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.sources, self.text, self.attributes = [], [], "", set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data):
        self.text += data


def rows_of(folder, num_rows=5, **filters):
    return rows_of_folder(folder, read_built(folder), num_rows, **filters)


def test_a_page_shows_everything_and_loads_nothing(folder):
    prompts = {prompt.question.prompt_id: prompt for prompt in read_built(folder)}
    rows = rows_of(folder)
    seen = Seen(html_sheet(rows, "five of them"))
    assert seen.tags.count("article") == len(rows) == 5
    assert seen.tags.count("img") == 15
    assert not {"link", "iframe", "object"} & set(seen.tags)
    for row in rows:
        prompt = prompts[row.title.split("  ")[0]]
        assert prompt.question.text in seen.text
        assert f"clip {prompt.clip_id}" in seen.text
        assert f"right: {prompt.question.solution}" in seen.text
        for label in prompt.labels:
            assert f"{label.attribute}{f' of {label.subject}' if label.subject else ''} {label.value} (" in seen.text
        for frame in prompt.frames:
            assert f"frame {frame.index}, {frame.pts_seconds:.2f} s" in seen.text


def test_images_of_a_page_are_inside_it(folder):
    row = rows_of(folder, 1)[0]
    for source, file in zip(Seen(html_sheet([row], "one")).sources, row.images, strict=True):
        kind, _, content = source.partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as shown, nullcontext(file) as original:
            assert shown.size == original.size
            assert abs(shown.convert("L").resize((1, 1)).getpixel((0, 0)) - _mean(original)) <= 3


def _mean(picture):
    return picture.convert("L").resize((1, 1)).getpixel((0, 0))


def test_what_prompts_say_is_text_and_not_markup(folder):
    records = lines_of(folder)
    for record in records:
        record["id"] += EVIL
        record["messages"][0]["content"] = EVIL
        record["remot"]["clip"] = EVIL
        for label in record["remot"]["labels"]:
            label["subject"] = EVIL
    write_lines(folder, records)
    page = html_sheet(rows_of(folder), EVIL)
    seen = Seen(page)
    assert seen.tags.count("script") == 1  # the page's own
    assert "onerror" not in seen.attributes
    assert seen.tags.count("img") == 15
    assert EVIL in seen.text
    assert page.count("<script") == 1
    assert "default-src 'none'" in page


def test_large_and_odd_images_are_made_to_fit(folder):
    names = lines_of(folder)[0]["images"]
    for name, size in zip(names, [(2000, 900), (3000, 15), (15, 3000)], strict=True):
        Image.new("RGB", size, "red").save(folder / name)
    prompts = read_built(folder)[:1]
    (row,) = rows_of_folder(folder, prompts, 1)
    sizes = []
    for source in Seen(html_sheet([row], "")).sources:
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as shown:
            sizes.append(shown.size)
    assert sizes == [(MAX_SIDE, 173), (MAX_SIDE, 2), (2, MAX_SIDE)]
    assert png_sheet([row], "").height < 3 * IMAGE_WIDTH


def test_an_image_can_be_opened(folder, tmp_path):
    """And shows the images in their places: those of the first row lie below the title."""
    rows = rows_of(folder, 3)
    png_sheet(rows, "three").save(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        with nullcontext(rows[0].images[1]) as original:
            wanted = original.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
            high = round(original.height * IMAGE_WIDTH / original.width)
        left = 8 + IMAGE_WIDTH + 8
        part = sheet.convert("RGB").crop((left, 32 + 8, left + IMAGE_WIDTH, 40 + high))
        shown = part.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert all(abs(one - other) <= 4 for one, other in zip(shown, wanted, strict=True))


def test_text_of_any_language_is_drawn(folder):
    records = lines_of(folder)[:2]
    for record in records:
        record["messages"][0]["content"] = "Куда? 哪里? 🎥 \u202e" + "x" * 500
    write_lines(folder, records)
    assert png_sheet(rows_of(folder), "títle").width > 3 * IMAGE_WIDTH


# -- choosing ------------------------------------------------------------------------------------------------------


def test_rows_are_drawn_at_random_and_always_the_same(folder):
    titles = [row.title for row in rows_of(folder, 10)]
    assert titles == [row.title for row in rows_of(folder, 10)]
    assert len(set(titles)) == 10
    assert {title.split("/")[0] for title in titles} != {"train"}
    assert len(rows_of(folder, 1000)) == 40
    attributes = [row.labels[0].split()[3] for row in rows_of(folder, 1000)]
    assert attributes == sorted(attributes)


def test_filters(folder):
    rows = rows_of(folder, 100, kind="mask_frame")
    wanted = [one for one in lines_of(folder) if one["remot"]["labels"][0]["attribute"] == "mask_frame"]
    assert len(rows) == len(wanted) > 0
    assert all("mask_frame" in row.labels[0] for row in rows)
    assert all(row.captions[2].endswith(", mask") for row in rows)
    assert len(rows_of(folder, 100, domain="hand")) == 40


@pytest.mark.parametrize("filters", [{"domain": "sea"}, {"kind": "smell"}, {"domain": "sea", "kind": "gripper"}])
def test_a_filter_without_matches_lists_the_choices(folder, filters):
    with pytest.raises(
        ConfigError, match=r"holds no such prompt; it has the domains hand and the tasks and attributes .*gripper"
    ):
        rows_of(folder, **filters)


def test_warps_are_named(folder):
    captions = {caption.rpartition(", ")[2] for row in rows_of(folder, 100) for caption in row.captions}
    assert {"mirror", "rotated_view", "shifted_crop", "mask"} <= captions


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "frames/../../secret.png", "frames/link.png"])
def test_an_image_outside_is_refused(folder, tmp_path, name):
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    (folder / "frames" / "link.png").symlink_to(tmp_path / "secret.png")
    records = lines_of(folder)[:1]
    records[0]["images"][0] = name
    write_lines(folder, records)
    with pytest.raises(AnnotationError, match=f"the image {re.escape(repr(name))} leads outside"):
        rows_of(folder)


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("frames/gone.png", DecodeError, "the image 'frames/gone.png' is not in"),
        ("frames", DecodeError, "is not in"),
        ("a\x00b", AnnotationError, "is no valid path"),
    ],
)
def test_an_image_that_is_not_there_is_reported(folder, name, kind, sentence):
    records = lines_of(folder)[:1]
    records[0]["images"][0] = name
    write_lines(folder, records)
    with pytest.raises(kind, match=sentence):
        rows_of(folder)


def test_a_broken_image_is_reported(folder):
    for name in lines_of(folder)[0]["images"]:
        (folder / name).write_bytes(b"no picture")
    with pytest.raises(DecodeError, match="cannot be decoded"):
        rows_of(folder, 1000)
