"""The data sections for object data sets build prompts whose answers agree with what is seen in the images."""

import json

import numpy as np
import pytest

from remot.cli import main
from tests.data.annotations.painted import red_pixels, white_pixels, write_got10k, write_kitti, write_mot, write_otb
from tests.helpers import PROJECT

CONFIGS = PROJECT / "configs" / "data"


def build(name, root, out, num_triplets=60):
    """The prompts of one section, as they lie on the disk."""
    config = str(CONFIGS / f"{name}.yaml")
    words = ("--root", str(root), "--out", str(out), "--num_triplets", str(num_triplets))
    main(["data", "build", "--config", config, *words])
    return [json.loads(line) for line in (out / "prompts.jsonl").read_text().splitlines()]


def audit(out, capsys):
    """What the audit prints of them; it would end with an error if anything were wrong."""
    capsys.readouterr()
    main(["data", "audit", str(out), "--format", "json"])
    return json.loads(capsys.readouterr().out)


def require_right(prompts, out, capsys):
    """The audit finds nothing, and the answers are those that the images themselves give."""
    figures = audit(out, capsys)
    assert figures["checked_labels"] > 0
    assert (figures["wrong_labels"], figures["wrong_images"], figures["wrong_facts"]) == (0, 0, 0)
    assert [task["labels"]["wrong_letters"] for task in figures["tasks"]] == [0]
    assert (figures["duplicate_frames_across_splits"], figures["scenes_in_two_splits"]) == (0, [])
    for prompt in prompts:
        for label in prompt["remot"]["labels"]:
            if not label["attribute"].startswith("camera"):
                seen = seen_in([out / image for image in prompt["images"]], label)
                assert seen == label["value"], (prompt["id"], label)
    return figures


def seen_in(files, label):
    """The answer, measured in the images."""
    first, second = (files[number - 1] for number in label["pair"])
    if label["attribute"] == "mask_frame":
        mask = white_pixels(files[2])
        assert mask.any()
        fits = [name for name, file in (("first", first), ("second", second)) if (red_pixels(file) == mask).all()]
        return (*fits, "neither")[0]
    axis, negative, positive = {
        "object_horizontal": (1, "left", "right"),
        "object_vertical": (0, "up", "down"),
        "object_depth": (None, "receding", "approaching"),
    }[label["attribute"]]
    change = measure(second, axis) - measure(first, axis)
    return "none" if abs(change) < 5 else positive if change > 0 else negative


def measure(file, axis):
    """Where the middle of the red rectangle is along an axis, or for no axis how high it is."""
    places = np.nonzero(red_pixels(file))
    return np.ptp(places[0]) if axis is None else places[axis].mean()


def attributes_by_scene(prompts):
    found = {}
    for prompt in prompts:
        held = prompt["remot"]
        found.setdefault(held["scene"], set()).update(label["attribute"] for label in held["labels"])
    return found


def test_mot(tmp_path, capsys, caplog):
    """Four cameras stand still, and one of them is in a renamed folder; of the fifth only masks are asked about."""
    names = ("TUD-Campus", "my tud_stadtmitte", "TUD-Crossing", "PETS09-S2L1", "ETH-Bahnhof")
    write_mot(tmp_path / "in", names)
    prompts = build("mot", tmp_path / "in", tmp_path / "out", 80)
    figures = require_right(prompts, tmp_path / "out", capsys)
    assert set(figures["num_scenes"]) == {"train", "val", "test"}
    found = attributes_by_scene(prompts)
    assert found.pop("ETH-Bahnhof") == {"mask_frame"}
    assert set.union(*found.values()) == {"mask_frame", "object_horizontal", "object_vertical"}
    assert found.keys() <= {"TUD-Campus", "TUD-Stadtmitte", "TUD-Crossing", "PETS09-S2L1"}
    assert {prompt["remot"]["labels"][0]["subject"] for prompt in prompts} == {"nearest person"}
    assert caplog.text.count("1 of 5 sequences have a camera that is not known to stand still") == 2  # build and audit


@pytest.mark.slow
def test_otb(tmp_path, capsys, caplog):
    write_otb(tmp_path / "in", ("otb_crossing", "Walking", "Dudek"))
    prompts = build("otb", tmp_path / "in", tmp_path / "out", 80)
    require_right(prompts, tmp_path / "out", capsys)
    assert attributes_by_scene(prompts) == {
        "Crossing": {"mask_frame", "object_horizontal", "object_vertical"},
        "Walking": {"mask_frame"},  # the object has no name
        "Dudek": {"mask_frame"},
    }
    subjects = {prompt["remot"]["scene"]: prompt["remot"]["labels"][0]["subject"] for prompt in prompts}
    assert subjects == {"Crossing": "person in the black jacket", "Walking": "tracked object", "Dudek": "man's face"}
    assert "1 of 3 objects have no name" in caplog.text


@pytest.mark.slow
def test_got10k(tmp_path, capsys):
    write_got10k(tmp_path / "in", ("GOT-10k_Val_000001", "GOT-10k_Val_000002"))
    prompts = build("got10k", tmp_path / "in", tmp_path / "out")
    require_right(prompts, tmp_path / "out", capsys)
    assert set.union(*attributes_by_scene(prompts).values()) == {"mask_frame"}


def test_got10k_with_a_static_camera(tmp_path, capsys):
    write_got10k(tmp_path / "in", ("GOT-10k_Val_000001", "GOT-10k_Val_000002"))
    own = tmp_path / "own.yaml"
    own.write_text(
        (CONFIGS / "got10k.yaml").read_text().replace("static_camera: []", "static_camera: [GOT-10k_Val_000002]")
    )
    prompts = build(own.with_suffix(""), tmp_path / "in", tmp_path / "out")
    require_right(prompts, tmp_path / "out", capsys)
    assert attributes_by_scene(prompts) == {
        "GOT-10k_Val_000001": {"mask_frame"},
        "GOT-10k_Val_000002": {"mask_frame", "object_horizontal", "object_vertical"},
    }


def test_kitti_tracking(tmp_path, capsys, caplog):
    """The car's distance and masks are asked about everywhere, its way in the image only where oxts tells a rest."""
    write_kitti(tmp_path / "in", ("0000", "0001", "0002", "0003"), without_oxts=("0003",))
    prompts = build("kitti_tracking", tmp_path / "in", tmp_path / "out", 80)
    require_right(prompts, tmp_path / "out", capsys)
    found = attributes_by_scene(prompts)
    assert found.pop("kitti-0003") == {"mask_frame", "object_depth"}
    assert set.union(*found.values()) == {"mask_frame", "object_depth", "object_horizontal", "camera_yaw"}
    assert {prompt["remot"]["labels"][0]["subject"] for prompt in prompts} == {"car", ""}
    assert "1 of 4 sequences have no file in oxts" in caplog.text
    for prompt in prompts:
        held = prompt["remot"]
        if held["labels"][0]["attribute"] == "object_horizontal":
            assert all(frame["index"] <= 7 for frame in held["frames"])  # the camera drives from the eighth on


LAYOUT = {
    "format": "remot-layout/1",
    "scene": "kitchen",
    "domain": "home",
    "objects": [{"name": "chair", "centre_metres": [1, 2, 0.5], "size_metres": [0.5, 0.5, 1]}],
}
SENTENCES = {"3MSZA": {"duration": 30.96, "timestamps": [[24.3, 30.4]], "sentences": ["person turns a light on."]}}


@pytest.mark.parametrize(
    ("name", "file", "content", "reader"),
    [
        ("layout", "layout.json", LAYOUT, "remot.data.annotations.LayoutReader"),
        ("charades_sta", "charades_sta_test.json", SENTENCES, "remot.data.annotations.CharadesSTAReader"),
    ],
)
def test_sources_without_motion_or_images_are_checked_but_not_built(tmp_path, capsys, name, file, content, reader):
    root = tmp_path / "in"
    root.mkdir()
    (root / file).write_text(json.dumps(content))
    main(["data", "validate", "--root", str(root), "--reader", reader])
    assert "1 good clips (1 frames), 0 bad" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        build(name, root, tmp_path / "out")
    assert stop.value.code == 2
    assert "can ask about none of the 1 clips: it needs images and " in capsys.readouterr().err
    header = (CONFIGS / f"{name}.yaml").read_text().split("\nseed_everything")[0]
    assert f"remot data validate --root DIR --reader {reader}" in header
    assert "no triplet can be built" in header
