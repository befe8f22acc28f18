"""Sheets of prompts of tasks: what is drawn where, and which prompts are shown."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from remot.cli import EXIT_BAD_INPUT, main
from remot.commands.data.sources import data_from
from remot.data.records.schema import BuiltFrame
from remot.data.tasks import TemporalGrounding
from remot.datatools.contact_sheets import html_sheet, png_sheet, rows_of_run
from remot.datatools.contact_sheets.rows import MAX_FRAMES, prompt_row
from remot.errors import ConfigError
from remot.structures import Clip, ObjectTrack, Question, Reference, Warp
from remot.viewer.drawing import (
    GIVEN,
    RIGHT,
    WIDTH,
    boxes_of,
    drawn_frames,
    drawn_graph,
    drawn_map,
    given_boxes,
)
from tests.data.made import data_module

TIMES = [0.0, 0.5, 1.0]
BOX, OTHER = (0.1, 0.2, 0.3, 0.4), (0.5, 0.5, 0.75, 0.9)


def grey(count=3, size=(WIDTH, WIDTH)):
    return [Image.new("RGB", size, "#808080") for _ in range(count)]


def colours(image):
    return {f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in image.getcolors(2**24)}


def extent(image, colour):
    """Box around all pixels of a colour, in shares of the image."""
    wanted = tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))
    places = [(k % image.width, k // image.width) for k, pixel in enumerate(image.getdata()) if pixel == wanted]
    xs, ys = zip(*places, strict=True)
    return tuple(edge / WIDTH for edge in (min(xs), min(ys), max(xs), max(ys)))


def test_boxes_are_drawn_where_they_are():
    first, second, third = drawn_frames(grey(), TIMES, Reference(boxes=(BOX, OTHER, BOX)), "?")
    assert extent(first, RIGHT) == pytest.approx(BOX, abs=0.01)
    assert extent(second, RIGHT) == pytest.approx(OTHER, abs=0.01)
    assert extent(third, RIGHT) == pytest.approx(BOX, abs=0.01)


def test_an_image_of_another_size_has_its_box_at_the_same_share():
    (frame,) = drawn_frames(grey(1, (100, 50)), [0.0], Reference(boxes=(BOX,)), "?")
    assert frame.size == (WIDTH, WIDTH // 2)
    left, top, right, bottom = extent(frame, RIGHT)
    assert (left, 2 * top, right, 2 * bottom) == pytest.approx(BOX, abs=0.02)


def test_the_last_box_of_eight_is_that_of_the_last_of_seven_frames():
    assert boxes_of(Reference(boxes=(BOX, BOX, BOX, OTHER)), TIMES, "?") == {0: [BOX], 1: [BOX], 2: [BOX, OTHER]}


def test_a_single_box_is_of_the_time_that_is_asked_about():
    pointing = "At 1.00 s these are meant: car 2 [0.5, 0.5, 0.75, 0.9], car 1 [0.1, 0.2, 0.3, 0.4]."
    text = f"{pointing}\nWhere is the car 2 at 0.50 s?"
    assert boxes_of(Reference(boxes=(BOX,)), TIMES, text) == {1: [BOX]}
    assert given_boxes(TIMES, text) == {2: [("car 2", OTHER), ("car 1", BOX)]}
    first, second, third = drawn_frames(grey(), TIMES, Reference(boxes=(BOX,)), text)
    assert RIGHT not in colours(first) | colours(third)
    assert extent(second, RIGHT) == pytest.approx(BOX, abs=0.01)
    assert extent(third, GIVEN)[2:] == pytest.approx(OTHER[2:], abs=0.01)
    assert boxes_of(Reference(boxes=(BOX,)), TIMES, "Where is it at 9.00 s?") == {}


def test_frames_of_the_right_time_have_a_border():
    frames = drawn_frames(grey(), TIMES, Reference(intervals=((0.4, 1.0),)), "?")
    assert [RIGHT in colours(frame) for frame in frames] == [False, True, False]


def test_maps_have_row_0_at_the_bottom():
    image = drawn_map({"a": ((0.0, 0.0),), "b": ((9.0, 5.0),)})
    assert image.getpixel((18, WIDTH - 18)) == (0xC0, 0x20, 0x20)
    assert image.getpixel((WIDTH - 18, WIDTH - 198)) == (0x20, 0x60, 0xFF)


def test_graphs_have_the_camera_below():
    """2 m straight ahead is the farthest: at the top, above the camera; half a metre to the left lies left of it."""
    image = drawn_graph({"a": (0.0, 2.0), "b": (-0.5, 1.0)})
    assert image.getpixel((WIDTH // 2, 30)) == (0xC0, 0x20, 0x20)
    assert image.getpixel((WIDTH // 2 - 75, 180)) == (0x20, 0x60, 0xFF)


def test_many_frames_are_thinned_and_hostile_text_is_escaped():
    question = Question("p/0/1", "<script>x</script>", (), "d", "s", task="t", reference=Reference(answer="<b>"))
    images = [torch.full((3, 8, 8), 128, dtype=torch.uint8)] * 40
    frames = [BuiltFrame(k, k / 2) for k in range(40)]
    row = prompt_row(images, frames, question, (), "", ["not checked"], "c")
    assert len(row.images) == len(row.captions) == MAX_FRAMES
    assert (row.captions[0], row.captions[-1]) == ("1: frame 0, 0.00 s", "40: frame 39, 19.50 s")
    assert "16 of 40 frames" in row.title
    assert row.gold == "no response is known"
    page = html_sheet([row], "<i>")
    assert "<script>x" not in page
    assert "<b>'" not in page
    assert png_sheet([row], "t").width > 0


def tasks(*names, **settings):
    return data_from(
        {"root": "embedded/tasks", "tasks": [{"class_path": f"remot.data.tasks.{one}"} for one in names], **settings}
    )


def test_rows_are_the_first_prompts_of_the_run():
    data = tasks("ObjectSize", "TrackDistance", "MotionContrast", "Detection")
    rows = rows_of_run(data, "val", 8)
    assert {row.title.split()[0] for row in rows} == {f"val/0/{k}" for k in range(8)}
    for row in rows:
        (address,) = re.findall(r"val/0/(\d)", row.title)
        assert row.text == data.mixed["val"][int(address)].question.text
    kinds = [row.title.split()[1] for row in rows if "clip" not in row.title.split()[1]]
    assert kinds == sorted(kinds)
    sizes, distances = ([row for row in rows if name in row.title] for name in ("object_size", "track_distance"))
    assert all("map from above" in row.captions for row in sizes)
    assert all("graph from above" in row.captions for row in distances)
    assert all("right by a second computation" in row.labels for row in (*sizes, *distances))
    assert (
        sum("camera_yaw" in label or "object_" in label or "mask" in label for row in rows for label in row.labels) > 0
    )


@pytest.mark.slow
def test_one_task_or_domain_alone():
    data = tasks("ObjectSize", "EventChoice")
    assert all("multiple_choice" in row.title for row in rows_of_run(data, "train", 5, kind="multiple_choice"))
    assert all("clip floors" in row.title for row in rows_of_run(data, "train", 5, domain="floors"))
    with pytest.raises(ConfigError, match="none of the kind caption"):
        rows_of_run(data, "train", 2, kind="caption")


def test_triplets_of_a_run_are_shown_too():
    rows = rows_of_run(data_from({}), "train", 3)
    assert [len(row.images) for row in rows] == [3, 3, 3]
    assert all(len(row.labels) == 3 for row in rows)


def test_the_command(tmp_path, capsys):
    config, out = tmp_path / "run.yaml", tmp_path / "sheet.html"
    config.write_text("root: embedded/tasks\ndata: {tasks: [{class_path: remot.data.tasks.ObjectTracking}]}\n")
    main(["data", "show", "--config", str(config), "--num_rows", "2", "--out", str(out)])
    assert capsys.readouterr().out == f"2 prompts on {out}\n"
    page = out.read_text()
    assert page.count("<article") == 2
    assert page.count("<img") == 14
    for words in ([], ["--config", str(config), "--num_rows", "0"], ["--config", str(tmp_path / "none.yaml")]):
        with pytest.raises(SystemExit) as stop:
            main(["data", "show", *words])
        assert stop.value.code == EXIT_BAD_INPUT


def test_a_task_of_ones_own_is_shown_as_not_checked():
    class Own(TemporalGrounding):
        """Nothing computes its references a second time."""

    (row,) = rows_of_run(data_module("embedded/tasks", tasks=[Own()]), "train", 1)
    assert row.labels[-1] == "not checked"


def test_tracks_of_a_clip_are_drawn_and_put_on_the_timeline():
    """A box of 10 to 30 of 40 pixels on the first image; the second is a mirror image, which the box does not fit."""
    boxes = np.array([[10.0, 10.0, 30.0, 30.0], [10.0, 10.0, 30.0, 30.0], [np.nan] * 4])
    clip = Clip("c", "s", "d", None, np.arange(3.0), objects={"ball": ObjectTrack(boxes)})
    mirror = Warp("mirror", (-1.0, 0, 40, 0, 1, 0, 0, 0, 1), (40, 40))
    frames = [BuiltFrame(0, 0.0), BuiltFrame(1, 1.0, mirror), BuiltFrame(2, 2.0)]
    images = [torch.full((3, 40, 40), 128, dtype=torch.uint8)] * 3
    row = prompt_row(images, frames, Question("p", "?", (), "d", "s"), (), "", [], "c", clip)
    assert extent(row.images[0], "#c02020") == pytest.approx((0.25, 0.25, 0.75, 0.75), abs=0.01)
    assert [image.size for image in row.images[1:]] == [(40, 40), (40, 40)]
    assert row.timeline.frame_seconds == (0.0, 1.0, 2.0)
    assert [(one.name, one.spans) for one in row.timeline.rows] == [("ball", ((0.0, 2.0),))]
    page = html_sheet([row], "t")
    assert '<span class="track">ball</span>' in page
