"""What is known of the clips without holding them: read once, kept on disk, and never out of date."""

import inspect
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from remot.data import tasks
from remot.data.annotations.native.reader import NativeReader
from remot.data.clips import catalogue_cache as catalogue_file
from remot.data.clips.catalogue import MAX_HELD_CLIPS, ClipStore, StoredClips, scan_clips
from remot.data.clips.catalogue_cache import catalogue_path, load_catalogue, save_catalogue
from remot.data.experts import CameraPitch, CameraYaw
from remot.data.negatives import Mirror, Retrieval
from remot.data.tasks import MotionContrast
from remot.data.tasks.motion_contrast import Sampling
from remot.errors import AnnotationError, DecodeError
from tests.data.handmade import mixed_clips, write_folder
from tests.data.made import data_module


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("catalogue") / "clips", mixed_clips(6))


@pytest.fixture
def folder(source, tmp_path, monkeypatch):
    """A copy that may be changed, of few clips that are kept nevertheless."""
    copy = tmp_path / "clips"
    copy.mkdir()
    for file in source.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
        os.utime(copy / file.name, ns=(10**18, 10**18))
    monkeypatch.setenv("REMOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue_file, "MIN_KEPT_CLIPS", 2)
    return copy


def counting_reader():
    """A native reader and the list of files it has read."""
    reader, read = NativeReader(), []
    original = reader.read_clip
    reader.__dict__["_read"] = read
    reader.read_clip = lambda file, root: read.append(file.name) or original(file, root)
    return reader, read


def prompts(folder, reader=None, **settings):
    data = data_module(str(folder), reader, num_test_prompts=6, num_val_prompts=6, **settings)
    data.setup()
    test = data.mixed["test"]
    return [
        (sample.clip_id, sample.question.text, sample.question.solution) for sample in map(test.__getitem__, range(6))
    ]


def store_of(folder, reader=None):
    reader = reader or NativeReader()
    return ClipStore(reader, folder, reader.sources(folder))


def path_of(folder, task=None, on_bad_clip="raise"):
    reader = NativeReader()
    return catalogue_path(reader, folder, reader.sources(folder), [task or MotionContrast([CameraYaw()])], on_bad_clip)


def test_the_second_time_only_the_clips_asked_about_are_read(folder, monkeypatch):
    first = prompts(folder)
    assert len(list((folder.parent / "cache").glob("catalogue-*.jsonl"))) == 1
    monkeypatch.setattr(catalogue_file, "scan_clips", lambda *_: pytest.fail("the clips were read again"))
    assert prompts(folder) == first


def test_small_data_sets_leave_nothing_behind(folder, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("REMOT_CACHE", str(folder.parent / "cache"))
    prompts(folder)
    assert not (folder.parent / "cache").exists()


def test_a_catalogue_survives_the_round_trip(folder):
    task = MotionContrast(negatives=[Retrieval(), Mirror()])
    found = scan_clips(store_of(folder), [task])
    file = folder.parent / "deep" / "catalogue.json"
    save_catalogue(found, file)
    assert load_catalogue(file) == found
    askables = [one for entry in found.entries for one in task.candidates(entry.surveys[0])]
    assert {one.negative_index for one in askables} == {0, 1}
    assert [path.name for path in file.parent.iterdir()] == ["catalogue.json"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"clips": 3}', '{"clips": [[1]], "faults": [], "left_out": 0}', "[" * 10**5]
)
def test_a_damaged_catalogue_is_no_catalogue(tmp_path, text):
    file = tmp_path / "catalogue.json"
    file.write_text(text)
    assert load_catalogue(file) is None
    assert load_catalogue(tmp_path / "none.json") is None


def test_a_disk_that_cannot_be_written_to_is_no_error(folder):
    (folder.parent / "cache").write_text("a file where the folder should be")
    assert prompts(folder)


def test_the_name_depends_on_everything_that_matters(folder):
    """Settings, experts and their thresholds, negatives, files added, changed in size, or in time."""
    names = {
        path_of(folder),
        path_of(folder, on_bad_clip="skip"),
        path_of(folder, MotionContrast([CameraYaw(still=0.5)])),
        path_of(folder, MotionContrast([CameraPitch()])),
        path_of(folder, MotionContrast([CameraYaw()], sampling=Sampling(max_candidate_frames=9))),
        path_of(folder, MotionContrast([CameraYaw()], sampling=Sampling(min_gap_frames=2))),
        path_of(folder, MotionContrast([CameraYaw()], negatives=[Mirror()])),
    }
    assert len(names) == 7
    assert path_of(folder) in names
    file = folder / "camera-0.json"
    os.utime(file, ns=(10**18, 10**18 + 1))
    later = path_of(folder)
    file.write_text(file.read_text() + "\n")
    os.utime(file, ns=(10**18, 10**18))
    longer = path_of(folder)
    (folder / "more.json").write_text("{}")
    assert len({*names, later, longer, path_of(folder)}) == 10


def test_no_task_has_a_setting_whose_text_is_another_in_each_process():
    """Else each process would read all clips again."""
    own = [getattr(tasks, name) for name in tasks.__all__ if hasattr(getattr(tasks, name), "plan")]
    made = [kind() for kind in own if not inspect.isabstract(kind) and kind is not tasks.Task]
    assert len(made) > 20
    texts = [catalogue_file._settings_of(part) for task in made for part in (task, *task.settings())]
    assert [text for text in texts if " at 0x" in text] == []


def test_bad_clips_are_counted_with_their_reason_and_kept(folder, monkeypatch):
    content = json.loads((folder / "camera-1.json").read_text())
    content["camera"]["camera_to_world"][0][0] = 3
    (folder / "camera-1.json").write_text(json.dumps(content))
    (folder / "arm-2.mp4").unlink()
    with pytest.raises((AnnotationError, DecodeError)):
        prompts(folder)
    for _ in range(2):
        data = data_module(str(folder), on_bad_clip="skip")
        with pytest.warns(UserWarning, match="2 bad clips are left out"):
            data.setup()
        assert sorted(fault.reason for fault in data.catalogue.faults) == ["missing media", "pose"]
        monkeypatch.setattr(catalogue_file, "scan_clips", lambda *_: pytest.fail("the clips were read again"))


def test_clips_are_read_when_asked_for_and_held(folder):
    reader, read = counting_reader()
    store = store_of(folder, reader)
    entries = scan_clips(store, [MotionContrast([CameraYaw()])]).entries
    num_read = len(read)
    assert num_read == len(store.sources)
    clips = StoredClips(store, entries)
    assert [clip.clip_id for clip in clips] == [entry.clip_id for entry in entries]
    assert clips[1:3][0] is clips[1]
    assert len(read) == num_read <= MAX_HELD_CLIPS
    fresh = StoredClips(store_of(folder), entries)
    np.testing.assert_array_equal(fresh[2].pts_seconds, clips[2].pts_seconds)


def test_a_worker_gets_no_clips_that_it_can_read_itself(folder):
    store = store_of(folder)
    entries = scan_clips(store, [MotionContrast([CameraYaw()])]).entries
    sent = pickle.loads(pickle.dumps(StoredClips(store, entries)))
    assert sent.store._held == {}
    assert sent[0].clip_id == entries[0].clip_id


def test_only_the_last_clips_are_held(folder, monkeypatch):
    monkeypatch.setattr("remot.data.clips.catalogue.MAX_HELD_CLIPS", 3)
    reader, read = counting_reader()
    store = store_of(folder, reader)
    for place in (0, 1, 2, 3, 0):
        store.get(place)
    assert len(read) == 5
    store.get(3)
    store.get(0)
    assert len(read) == 5


def test_a_clip_that_is_asked_for_again_stays(folder, monkeypatch):
    monkeypatch.setattr("remot.data.clips.catalogue.MAX_HELD_CLIPS", 2)
    reader, read = counting_reader()
    store = store_of(folder, reader)
    for place in (0, 1, 0, 2, 0):
        store.get(place)
    assert len(read) == 3


def test_clips_that_the_reader_leaves_out_are_counted(folder):
    reader = NativeReader()
    original = reader.read_clip
    reader.read_clip = lambda file, root: None if file.name.startswith("camera") else original(file, root)
    found = scan_clips(store_of(folder, reader), [MotionContrast()])
    assert found.num_left_out == len(list(folder.glob("camera-*.json"))) > 0
    assert len(found.entries) == len(list(folder.glob("arm-*.json")))


def test_a_user_without_a_home_has_the_cache_in_the_working_folder(tmp_path, monkeypatch):
    """As in a container that runs under a number; the user's folders are unknown to the system, too."""
    for name in ("HOME", "XDG_CACHE_HOME", "REMOT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    write_folder(tmp_path, mixed_clips(1))
    assert path_of(tmp_path).parent == Path(".cache/remot")
    monkeypatch.setenv("HOME", "/somewhere")
    assert path_of(tmp_path).parent == Path("/somewhere/.cache/remot")
