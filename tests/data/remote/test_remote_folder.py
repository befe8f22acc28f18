"""Clips below a URL: the same prompts as from a folder, a bounded cache, hostile listings."""

import pickle
import stat
import time

import fsspec
import pytest
import torch

from remot import files
from remot.data.clips.bundled import clips_root
from remot.data.media.unchanged import is_changed_since
from remot.data.prompt_data import DataOptions, PromptData
from remot.data.remote import RemoteFolder, folder_of, named_root
from remot.data.remote import cache as cache_module
from remot.data.remote import folder as folder_module
from remot.data.remote.listing import file_of, listed
from remot.data.tasks import EventChoice
from remot.errors import AnnotationError, ConfigError
from remot.files import open_regular


@pytest.fixture(autouse=True)
def own_storage(monkeypatch):
    """Nothing in memory, no folder known, no waiting."""
    memory = fsspec.filesystem("memory")
    monkeypatch.setattr(type(memory), "store", {})
    monkeypatch.setattr(type(memory), "pseudo_dirs", [""])
    monkeypatch.setattr(folder_module, "_FOLDERS", {})
    monkeypatch.setattr(files, "BEFORE_OPENING", [])
    monkeypatch.setattr(cache_module, "SPARED_SECONDS", 0.0)
    monkeypatch.setattr(folder_module, "PAUSE_SECONDS", 0.0)
    return memory


def stored(memory, **contents):
    for name, content in contents.items():
        memory.pipe_file(f"/clips/{name.replace('__', '/')}", content)


def folder(tmp_path, cache_bytes=1000, url="memory://clips"):
    made = RemoteFolder(url, tmp_path / "cache", cache_bytes)
    made.refresh()
    return made


def content(path):
    with open_regular(path) as stream:
        return stream.read()


def is_there(path):
    return stat.S_IMODE(path.stat().st_mode) != 0


def test_prompts_are_those_of_a_local_folder(tmp_path, own_storage):
    local = tmp_path / "local"
    local.mkdir()
    names = sorted(path.name for path in clips_root("embedded/tasks").iterdir() if path.stem.startswith("happenings"))
    for name in names[:16]:
        data = (clips_root("embedded/tasks") / name).read_bytes()
        (local / name).write_bytes(data)
        own_storage.pipe_file(f"/bucket/clips/{name}", data)
    made = []
    for root in (str(local), "memory://bucket/clips"):
        options = DataOptions(require_splits=False, cache_dir=tmp_path / "cache")
        data = PromptData(root, tasks=[EventChoice()], num_train_prompts_per_epoch=8, options=options)
        data.setup()
        made.append(data)
    first, second = made
    assert second.root.is_relative_to(tmp_path / "cache")
    assert first.fingerprint == second.fingerprint
    for number in range(8):
        one, other = (data.prompts["train"][number] for data in made)
        assert (repr(one.question), one.clip_id) == (repr(other.question), other.clip_id)
        for image, same in zip((*one.images, *one.videos), (*other.images, *other.videos), strict=True):
            assert torch.equal(getattr(image, "frames", image), getattr(same, "frames", same))
    assert second.data_record()["root"] == "memory://bucket/clips"


def test_files_are_placeholders_until_they_are_opened(tmp_path, own_storage):
    stored(own_storage, **{"a.json": b"{}", "deep__b.mp4": b"12345"})
    made = folder(tmp_path)
    video = made.root / "deep" / "b.mp4"
    assert video.stat().st_size == 5
    assert not is_there(video)
    assert content(video) == b"12345"
    assert is_there(video)
    assert not is_there(made.root / "a.json")


def test_those_not_used_for_longest_go_first(tmp_path, own_storage):
    stored(own_storage, a=b"a" * 40, b=b"b" * 40, c=b"c" * 40)
    made = folder(tmp_path, cache_bytes=100)  # 80 stay when some have to go
    paths = [made.root / name for name in "abc"]
    content(paths[0])
    content(paths[1])
    content(paths[0])  # b is now the one not used for longest
    content(paths[2])
    assert [is_there(path) for path in paths] == [True, False, True]
    assert content(paths[1]) == b"b" * 40  # fetched again


def test_who_has_a_file_open_goes_on_reading(tmp_path, own_storage):
    stored(own_storage, a=b"a" * 60, b=b"b" * 60)
    made = folder(tmp_path, cache_bytes=100)
    with open_regular(made.root / "a") as stream:
        content(made.root / "b")
        assert not is_there(made.root / "a")
        assert stream.read() == b"a" * 60


def test_a_file_in_use_is_waited_for(tmp_path, own_storage, monkeypatch):
    stored(own_storage, a=b"a" * 60, b=b"b" * 60)
    made = folder(tmp_path, cache_bytes=100)
    monkeypatch.setattr(cache_module, "SPARED_SECONDS", 0.2)
    content(made.root / "a")
    before = time.monotonic()
    content(made.root / "b")
    assert time.monotonic() - before > 0.1
    assert not is_there(made.root / "a")


def test_a_file_larger_than_the_cache_is_refused(tmp_path, own_storage):
    stored(own_storage, a=b"a" * 101)
    made = folder(tmp_path, cache_bytes=100)
    with pytest.raises(OSError, match=r"101 bytes.*cache_bytes"):
        content(made.root / "a")


def test_a_file_that_changes_is_refused_and_listed_anew(tmp_path, own_storage):
    stored(own_storage, a=b"old", b=b"same")
    made = folder(tmp_path)
    assert content(made.root / "b") == b"same"
    stored(own_storage, a=b"newer")
    with pytest.raises(OSError, match="memory://clips/a has changed"):
        content(made.root / "a")
    again = folder(tmp_path)
    assert is_there(again.root / "b")
    assert content(again.root / "a") == b"newer"
    with pytest.raises(OSError, match="have changed since this run"):
        made.require(made.root / "b")  # the run that began before


def test_new_files_disturb_no_run_and_files_that_are_gone_vanish(tmp_path, own_storage):
    stored(own_storage, a=b"a", deep__b=b"b")
    made = folder(tmp_path)
    stored(own_storage, c=b"c")
    folder(tmp_path)
    made.require(made.root / "a")
    own_storage.rm_file("/clips/deep/b")
    assert not (folder(tmp_path).root / "deep").exists()


def test_other_processes_share_what_is_fetched(tmp_path, own_storage, monkeypatch):
    stored(own_storage, a=b"a" * 9, b=b"b" * 9)
    made = folder(tmp_path)
    content(made.root / "a")
    own_storage.rm_file("/clips/a")
    sent = pickle.dumps(made)
    monkeypatch.setattr(folder_module, "_FOLDERS", {})
    pickle.loads(sent)  # as a process that loads data does
    assert (content(made.root / "a"), content(made.root / "b")) == (b"a" * 9, b"b" * 9)


def test_a_fetch_is_tried_again(tmp_path, own_storage, monkeypatch):
    stored(own_storage, a=b"whole")
    made = folder(tmp_path)
    opened, failures = type(own_storage)._open, iter([TimeoutError("slow"), TimeoutError("slow")])

    def unsteady(self, *args, **kwargs):
        if (failure := next(failures, None)) is not None:
            raise failure
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(type(own_storage), "_open", unsteady)
    assert content(made.root / "a") == b"whole"
    failures = iter([TimeoutError("slow")] * 3)
    made._cache.empty(made.root / "a", 5, int((made.root / "a").stat().st_mtime))
    with pytest.raises(ConfigError, match=r"memory://clips/a: cannot be fetched.*slow"):
        content(made.root / "a")


@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "/etc/a", "a//b", "a/./b", "a\\b", "a\nb", "a\0b", "x" * 256, "\ud800"]
)
def test_names_that_leave_the_folder_are_refused(name):
    with pytest.raises(AnnotationError, match="no plain path"):
        file_of("s3://bucket", name, {"size": 1})


def test_names_of_a_listing_stay_below_its_url(tmp_path, own_storage, monkeypatch):
    monkeypatch.setattr(type(own_storage), "find", lambda *_, **__: {"/elsewhere/a": {"size": 1}})
    with pytest.raises(AnnotationError, match="lies outside"):
        folder(tmp_path)


def test_a_name_that_is_a_file_and_a_folder_is_refused(own_storage, monkeypatch):
    found = {"/clips/a": {"size": 1}, "/clips/a-b": {"size": 1}, "/clips/a/b": {"size": 1}}
    monkeypatch.setattr(type(own_storage), "find", lambda *_, **__: found)
    with pytest.raises(AnnotationError, match="'a' is a file and a folder"):
        listed("memory://clips")


def test_unknown_sizes_are_refused():
    with pytest.raises(AnnotationError, match="size of 'a' is None"):
        file_of("http://host", "a", {"size": None})


def test_missing_packages_and_empty_urls_are_named(tmp_path):
    with pytest.raises(ConfigError, match="s4://bucket"):
        folder(tmp_path, url="s4://bucket")
    with pytest.raises(AnnotationError, match="memory://nothing"):
        folder(tmp_path, url="memory://nothing")


def test_passwords_stay_out_of_messages(tmp_path):
    with pytest.raises(ConfigError) as caught:
        folder(tmp_path, url="s4://user:secret@host/clips")
    assert "secret" not in str(caught.value)


def test_passwords_stay_out_of_records(tmp_path):
    """Of manifests and of MLflow; also one with an @."""
    made = RemoteFolder("s3://key:se@cret@bucket/clips", tmp_path, 10)
    made._register()
    assert named_root(made.root) == "s3://bucket/clips"


def test_file_urls_work(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a").write_bytes(b"local")
    made = folder(tmp_path, url=f"file://{tmp_path}/clips")
    assert content(made.root / "a") == b"local"


def test_a_fetched_file_has_not_changed(tmp_path, own_storage):
    stored(own_storage, a=b"a")
    made = folder(tmp_path)
    began = time.time_ns()
    content(made.root / "a")
    assert not is_changed_since(made.root / "a", began)
    assert named_root(made.root) == "memory://clips"
    assert folder_of(tmp_path) is None
