"""The manifest: everything adds up, everything is hashed, and every bad clip is counted by its reason."""

import hashlib
import json
import warnings

import numpy as np
import pytest

from remot._version import __version__
from remot.commands.data.sources import data_from
from remot.data.media import write_video
from remot.data.records.folder import MANIFEST, RECORDS, read_manifest
from remot.data.records.parsing import from_record
from remot.datatools.build.manifest import Counts, json_ready
from remot.errors import AnnotationError, ConfigError, DecodeError, RemotError
from tests.data.handmade import SIZE
from tests.data.made import data_module
from tests.datatools.builds import (
    SMALL,
    VARIED,
    built,
    images_of,
    lines_of,
    plain_root,
    seal_folder,
    varied_root,
    write_lines,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return plain_root(tmp_path_factory.mktemp("plain") / "clips")


@pytest.fixture
def made(root, tmp_path):
    return built(root, tmp_path / "out", 20)


def test_hashes_are_those_of_the_files(root, made):
    folder, manifest = made
    assert json.loads((folder / MANIFEST).read_text()) == manifest
    assert manifest["sha256"] == {RECORDS: hashlib.sha256((folder / RECORDS).read_bytes()).hexdigest()}
    named = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.glob("*.json")}
    assert manifest["sources"] == {"reader": "NativeReader", "clips": 10, "files": 10, "sha256": named}


def test_settings_and_seeds_are_kept(root, tmp_path):
    _, manifest = built(root, tmp_path / "out", 20, seed=5, held_out_seed=3)
    assert manifest["format"] == "remot-prompts/2"
    assert manifest["remot_version"] == __version__
    assert manifest["seeds"] == {"train": 5, "val": 3, "test": 3}
    assert manifest["data"]["options"]["seed"] == 5
    assert manifest["root"] == str(root.resolve())
    assert {
        "class": "CameraYaw",
        "still": 1,
        "salient_min": 10,
        "salient_max": 50,
        "max_other_degrees": 6,
    } in manifest["tasks"][0]["settings"]


def test_counts_are_those_of_the_lines(tmp_path):
    """Counted again from the file, without the library's classes."""
    folder, manifest = built(varied_root(tmp_path / "clips"), tmp_path / "out", 60, **VARIED)
    counts, records = manifest["counts"], lines_of(folder)

    def count(of):
        values = [of(record) for record in records]
        return {value: values.count(value) for value in sorted(set(values))}

    assert counts["prompts"] == len(records) == 60
    assert counts["images"] == len(images_of(folder))
    assert counts["by_split"] == count(lambda record: record["remot"]["split"])
    assert counts["by_domain"] == count(lambda record: record["remot"]["domain"])
    assert counts["by_attribute"] == count(lambda record: record["remot"]["labels"][0]["attribute"])
    assert counts["by_negative"] == count(lambda record: record["remot"]["negative"])
    assert counts["by_format"] == count(lambda record: record["remot"]["format"])
    assert sum(counts["by_answer"].values()) == sum(len(record["remot"]["labels"]) for record in records)
    assert sum(manifest["clips"].values()) == 6


def test_counts_of_nothing():
    assert Counts().record(0)["prompts"] == 0


def test_a_large_container_is_not_hashed(root, tmp_path, monkeypatch):
    monkeypatch.setattr("remot.data.data_record.MAX_ANNOTATION_BYTES", 10)
    _, manifest = built(root, tmp_path / "out", 10)
    assert set(manifest["sources"]["sha256"].values()) == {None}


# -- reading it ----------------------------------------------------------------------------------------------------


def test_a_whole_folder_is_read(made):
    folder, manifest = made
    assert read_manifest(folder) == manifest


def test_changed_prompts_are_refused(made):
    folder, _ = made
    records = lines_of(folder)
    write_lines(folder, records[1:], seal=False)
    with pytest.raises(AnnotationError, match=r"prompts\.jsonl.*manifest"):
        read_manifest(folder)
    seal_folder(folder)
    read_manifest(folder)


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        (None, ConfigError, r"holds no prompts\.jsonl with its manifest\.json"),
        ("{", AnnotationError, "not valid JSON"),
        ("[]", AnnotationError, "expected an object"),
        ("{}", AnnotationError, "format is None, this version reads 'remot-prompts/2'"),
        ('{"format": "remot-triplets/1"}', AnnotationError, "format is 'remot-triplets/1'"),
        ('{"format": "remot-prompts/2"}', AnnotationError, "is not the file its manifest"),
        ('{"format": "remot-prompts/2", "sha256": []}', AnnotationError, "is not the file its manifest"),
        ("[" * 100_000, AnnotationError, "not valid JSON"),
    ],
)
def test_a_bad_manifest_is_reported(made, text, kind, sentence):
    folder, _ = made
    (folder / MANIFEST).unlink()
    if text is not None:
        (folder / MANIFEST).write_text(text)
    with pytest.raises(kind, match=sentence):
        read_manifest(folder)


def test_settings_as_json():
    settings = {"a": [1, float("-inf"), {"b": float("nan")}], "c": None, "d": True, "e": "x", "f": 0.5}
    assert json_ready(settings) == {"a": [1, "-.inf", {"b": ".nan"}], "c": None, "d": True, "e": "x", "f": 0.5}


# -- bad clips -----------------------------------------------------------------------------------------------------

EYE = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


def annotation(name, num_frames=4, **changes):
    held = {"format": "remot-clip/1", "id": name, "scene": name, "domain": "x", "media": f"{name}.mp4"}
    held |= {"pts_seconds": [k / 10 for k in range(num_frames)], "camera": {"camera_to_world": [EYE] * num_frames}}
    return held | changes


def scaled():
    return [[2 * number for number in EYE], *[EYE] * 3]


def shifted(number):
    return [[*EYE[:3], number, *EYE[4:]], *[EYE] * 3]


#: Name of a bad clip, the reason it is counted under, what its sentence says, and what makes it bad.
FAULTS = {
    "nan-pose": ("not finite", "holds NaN or infinity", {"camera": {"camera_to_world": shifted(float("nan"))}}),
    "scaled-pose": ("pose", "pose of frame 0 is not a rigid motion", {"camera": {"camera_to_world": scaled()}}),
    "gone-media": ("missing media", "'nothing.mp4' does not exist", {"media": "nothing.mp4"}),
    "no-frames": ("zero length", "must hold at least one time", {"pts_seconds": [], "camera": {"camera_to_world": []}}),
    "taken-id": ("duplicate id", "clip id camera-0 is taken by", {"id": "camera-0"}),
    "outside": ("outside root", "leads outside", {"media": "../secret.mp4"}),
    "unsynchronised": ("shape", "expected 4x4x4", {"camera": {"camera_to_world": [EYE] * 3}}),
    "late": ("media", "", {"pts_seconds": [0, 1, 2, 30]}),
    "backwards": ("times", "", {"pts_seconds": [0, 0.2, 0.1, 0.3]}),
    "halved": ("malformed", "lone surrogate", {"scene": "\ud800"}),
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Ten good clips and one with each kind of fault."""
    folder = tmp_path_factory.mktemp("faulty")
    root = plain_root(folder / "clips")
    frames = np.zeros((4, SIZE, SIZE, 3), dtype=np.uint8)
    write_video(folder / "secret.mp4", frames, 10)
    for name, (_, _, changes) in FAULTS.items():
        (root / f"z-{name}.json").write_text(json.dumps(annotation(name, **changes)))
        write_video(root / f"{name}.mp4", frames, 10)
    (root / "z-truncated.json").write_text(json.dumps(annotation("truncated")))
    whole = (root / "late.mp4").read_bytes()
    (root / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "z-broken.json").write_text('{"format": ')
    with (root / "z-huge.json").open("wb") as huge:
        huge.truncate(65 * 2**20)  # no byte of it is ever written
    return root


def test_every_kind_of_bad_clip_is_counted_by_its_reason(faulty, tmp_path):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        _, manifest = built(faulty, tmp_path / "out", 20, on_bad_clip="skip")
    refused = manifest["refused"]
    expected = [reason for reason, _, _ in FAULTS.values()] + ["media", "malformed", "too large"]
    assert refused["bad_clips"] == len(expected) == 13
    assert refused["bad_clips_by_reason"] == {reason: expected.count(reason) for reason in sorted(set(expected))}
    assert sum(manifest["clips"].values()) == 10
    assert any("13 bad clips are left out, 10 remain" in str(one.message) for one in told)
    for name, (_, sentence, _) in FAULTS.items():
        (told_of,) = [text for source, text in refused["bad_clips_named"].items() if f"z-{name}.json" in source]
        assert sentence in told_of, name


@pytest.mark.parametrize("name", [*FAULTS, "truncated", "broken", "huge"])
def test_each_kind_alone_stops_a_run(faulty, tmp_path, name):
    """``raise`` is the default: the clip is named, and nothing is written."""
    root = plain_root(tmp_path / "clips", 4)
    for file in (f"z-{name}.json", f"{name}.mp4"):
        if (faulty / file).exists():
            (root / file).symlink_to(faulty / file) if name == "huge" else (root / file).write_bytes(
                (faulty / file).read_bytes()
            )
    with pytest.raises(RemotError) as error:
        built(root, tmp_path / "out", 20)
    assert isinstance(error.value, AnnotationError | DecodeError)
    assert f"z-{name}" in str(error.value) or name in str(error.value)
    assert not (tmp_path / "out").exists()


def test_excluded_clips_and_those_the_reader_leaves_out_are_counted(root, tmp_path):
    listed = tmp_path / "held_back.txt"
    listed.write_text("\ufeff# a benchmark\n\narm-1\nc[0]\nc3*\n")
    _, manifest = built(root, tmp_path / "out", 10, exclude=str(listed))
    assert manifest["refused"]["excluded_clips"] == 2  # arm-1 and the scene c3; c[0] is no pattern
    assert sum(manifest["clips"].values()) == 8
    used = {record["remot"]["clip"] for record in lines_of(tmp_path / "out")}
    assert used <= {f"{kind}-{k}" for kind in ("arm", "camera") for k in range(5)} - {"arm-1", "camera-3"}


def test_all_excluded_is_an_error(root, tmp_path):
    listed = tmp_path / "all.txt"
    listed.write_text("*")
    with pytest.raises(AnnotationError, match=r"all\.txt: all 10 clips"):
        data_module(str(root), exclude=listed).setup()


def test_what_the_manifest_keeps_builds_the_same_again(made):
    folder, manifest = made
    again = data_from(manifest["data"])
    again.setup()
    first = from_record("", lines_of(folder)[0])
    assert again.mixed["train"][0].question == first.question
    plain = {name: value for name, value in SMALL.items() if name != "require_splits"}
    assert manifest["data"].items() >= plain.items()
