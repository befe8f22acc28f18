"""Building in shards: put together they are what one build writes, byte for byte; and nothing else is put together."""

import json
import shutil
from pathlib import Path

import pytest

from remot.commands.data.sources import data_from
from remot.data.records.folder import MANIFEST, RECORDS, read_manifest
from remot.datatools.build.prompts import build
from remot.datatools.build.shards import Shard, merge
from remot.errors import AnnotationError, ConfigError
from tests.datatools.builds import VARIED, built, images_of, plain_root, section_of, varied_root

NUM_PROMPTS = 41


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return plain_root(tmp_path_factory.mktemp("plain") / "clips")


def build_shards(root, folder, num_shards, num_prompts=NUM_PROMPTS, **settings):
    section = section_of(root, **settings)
    for number in range(1, num_shards + 1):
        build(data_from(section), folder / f"part-{number}", num_prompts, section, shard=Shard(number, num_shards))
    return folder


@pytest.fixture(scope="module")
def three_shards(root, tmp_path_factory):
    return build_shards(root, tmp_path_factory.mktemp("shards"), 3)


@pytest.fixture
def shards(three_shards, tmp_path):
    return Path(shutil.copytree(three_shards, tmp_path / "shards"))


def content_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("num_shards", "num_prompts"), [(3, NUM_PROMPTS), (5, 4)])
def test_merged_shards_are_the_unsharded_build(root, tmp_path, num_shards, num_prompts):
    whole, manifest = built(root, tmp_path / "whole", num_prompts)
    folder = build_shards(root, tmp_path / "shards", num_shards, num_prompts)
    merged = merge(folder, tmp_path / "merged")
    assert content_of(tmp_path / "merged") == content_of(whole)
    assert merged == manifest


@pytest.mark.slow
def test_with_transforms_masks_and_several_splits(tmp_path):
    rich = varied_root(tmp_path / "clips")
    settings = {"val_fraction": 0.0, "test_fraction": 0.3, **VARIED}
    whole, _ = built(rich, tmp_path / "whole", 60, **settings)
    folder = build_shards(rich, tmp_path / "shards", 4, 60, **settings)
    merge(folder, tmp_path / "merged")
    assert content_of(tmp_path / "merged") == content_of(whole)


def test_addresses_are_divided_evenly_and_in_order():
    sizes = {"train": 7, "val": 2, "test": 4}
    parts = [Shard(number, 5).addresses(sizes) for number in range(1, 6)]
    everything = [(split, address) for part in parts for split, addresses in part.items() for address in addresses]
    assert everything == [(split, address) for split, size in sizes.items() for address in range(size)]
    assert [sum(map(len, part.values())) for part in parts] == [2, 3, 2, 3, 3]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "/3", "a/b", "-1/3", "1/0", "1/2/3"])
def test_no_shard(text):
    with pytest.raises(ConfigError, match="I/N"):
        Shard.parse(text)


def test_a_missing_shard_is_named(shards, tmp_path):
    (shards / "part-2" / MANIFEST).unlink()
    with pytest.raises(ConfigError, match=r"shard 2/3 of 3 is missing"):
        merge(shards, tmp_path / "merged")


def test_the_same_shard_twice(shards, tmp_path):
    (shards / "part-3").rename(shards / "part-0")
    (shards / "part-2").rename(shards / "old")
    manifest = json.loads((shards / "part-0" / MANIFEST).read_text())
    manifest["shard"]["number"] = 1
    (shards / "part-0" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=r"part-1 is shard 1.*part-0"):
        merge(shards, tmp_path / "merged")


@pytest.mark.parametrize(
    ("key", "value"), [("remot_version", "0.0.1"), ("seeds", {"train": 9}), ("root", "/elsewhere"), ("data", {})]
)
def test_shards_of_other_settings_or_versions(shards, tmp_path, key, value):
    path = shards / "part-2" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ConfigError, match=f"part-2.*{key}"):
        merge(shards, tmp_path / "merged")


@pytest.mark.parametrize(("num_shards", "num_prompts", "named"), [(4, NUM_PROMPTS, "shards"), (3, 30, "prompts")])
def test_shards_of_other_numbers(root, shards, tmp_path, num_shards, num_prompts, named):
    section = section_of(root)
    (shards / "part-2").rename(tmp_path / "old")
    build(data_from(section), shards / "part-2", num_prompts, section, shard=Shard(2, num_shards))
    with pytest.raises(ConfigError, match=f"number of {named}"):
        merge(shards, tmp_path / "merged")


def test_a_shard_that_was_changed(shards, tmp_path):
    (shards / "part-2" / RECORDS).write_text("")
    with pytest.raises(AnnotationError, match="part-2"):
        merge(shards, tmp_path / "merged")


def test_another_image_of_the_same_name(shards, tmp_path):
    shared = min(images_of(shards / "part-1") & images_of(shards / "part-2"))
    (shards / "part-2" / shared).write_bytes(b"other")
    with pytest.raises(AnnotationError, match=shared):
        merge(shards, tmp_path / "merged")


def test_a_shard_is_no_folder_to_train_on(shards):
    with pytest.raises(ConfigError, match="remot data merge"):
        read_manifest(shards / "part-1")


def test_nothing_to_merge(tmp_path):
    with pytest.raises(ConfigError, match="--shard"):
        merge(tmp_path, tmp_path / "merged")


def test_a_folder_that_holds_something(shards, tmp_path):
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "a").touch()
    with pytest.raises(ConfigError, match="not empty"):
        merge(shards, tmp_path / "merged")
