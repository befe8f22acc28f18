"""The JSON Schema of the native format says what its reader does, as far as a schema can."""

import json
import re

import jsonschema
import numpy as np
import pytest

from remot.commands.data.validate import schema_command, schema_text
from remot.data.annotations import NativeReader, write_annotation
from remot.data.annotations.native.reader import OPTIONAL_KEYS, REQUIRED_KEYS
from remot.data.clips.bundled import embedded_clips_root
from remot.errors import AnnotationError
from tests.data.annotations.native.test_fields import FAULTS, sample_clip
from tests.helpers import PROJECT

DOCS = PROJECT / "docs" / "clip_format.md"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema_text()))


def examples():
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)]


def full_content(folder):
    clip = sample_clip(masks=folder / "masks")
    (folder / "masks").mkdir(parents=True)
    return json.loads(write_annotation(clip, folder, source="test", licence="CC0-1.0").read_text())


def test_the_schema_is_one_and_the_command_prints_it(capsys):
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))
    schema_command()
    assert json.loads(capsys.readouterr().out)["title"] == "remot-clip/1"


def test_its_keys_are_the_readers():
    schema = json.loads(schema_text())
    assert set(schema["properties"]) == {*REQUIRED_KEYS, *OPTIONAL_KEYS}
    assert set(schema["required"]) == set(REQUIRED_KEYS)


def test_embedded_clips_fit():
    files = sorted(embedded_clips_root().glob("*.json"))
    assert len(files) == 183
    for file in files:
        VALIDATOR.validate(json.loads(file.read_text()))


def test_what_the_writer_writes_fits(tmp_path):
    assert list(VALIDATOR.iter_errors(full_content(tmp_path))) == []


def test_the_examples_of_the_documentation_fit_and_are_read(tmp_path):
    found = examples()
    assert len(found) >= 2
    for index, content in enumerate(found):
        VALIDATOR.validate(content)
        folder = tmp_path / str(index)
        for name in media_of(content):
            (folder / name).mkdir(parents=True)
            for image in range(len(content["pts_seconds"])):
                (folder / name / f"{image}.png").touch()
        (folder / "clip.json").write_text(json.dumps(content))
        (clip,) = NativeReader().read(folder)
        assert clip.clip_id == content["id"]


def media_of(content):
    """What an example names beside itself; a folder may stand for a video, which is not opened while it is read."""
    masks = [track["masks"]["media"] for track in content.get("objects", {}).values() if "masks" in track]
    media = content["media"]
    return {*masks, *([media] if isinstance(media, str) else media or [])}


@pytest.mark.parametrize(("values", "visible"), [(fault[0], fault[3]) for fault in FAULTS])
def test_what_a_schema_can_see_is_refused(tmp_path, values, visible):
    content = full_content(tmp_path) | values
    assert VALIDATOR.is_valid(content) is not visible


POSE = np.eye(4).ravel().tolist()


@pytest.mark.parametrize(
    "values",
    [
        {"format": "remot-clip/9"},
        {"scene": 5},
        {"pts_secs": []},
        {"pts_seconds": 7},
        {"pts_seconds": []},
        {"pts_seconds": ["0", "1"]},
        {"pts_seconds": [[0.0], 1.0]},
        {"camera": {"camera_to_word": []}},
        {"camera": {"camera_to_world": [POSE[:15]]}},
        {"camera": {"camera_to_world": [POSE], "intrinsics": [1, 2]}},
        {"camera": [POSE]},
        {"objects": {"cup": {"boxes_xyxy": 7}}},
        {"objects": ["cup"]},
    ],
)
def test_reader_and_schema_refuse_the_same(tmp_path, values):
    content = full_content(tmp_path) | values
    (tmp_path / "yard-1.json").write_text(json.dumps(content))
    assert not VALIDATOR.is_valid(content)
    with pytest.raises(AnnotationError):
        list(NativeReader().read(tmp_path))


@pytest.mark.parametrize("key", REQUIRED_KEYS)
def test_needed_keys_are_needed(tmp_path, key):
    content = full_content(tmp_path)
    del content[key]
    assert not VALIDATOR.is_valid(content)
