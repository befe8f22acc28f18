"""Whatever lies where a file is expected, reading it ends: within seconds, within memory, and without a traceback."""

import io

import h5py
import numpy as np
import pytest
from PIL import Image

from remot.data.media import check_media
from remot.data.media.archives import EncodedImages, Hdf5Images
from remot.errors import RemotError
from remot.structures import Clip
from tests.faults.doors import BOMBS, DOORS, NO_FILES, TEXT_DOORS, TEXTS, bounded
from tests.faults.table import row

pytestmark = pytest.mark.timeout(120)

#: What is brought to each door.
BROUGHT = {
    door: [*NO_FILES, *(TEXTS if door in TEXT_DOORS else ()), *(bomb for bomb, doors in BOMBS.items() if door in doors)]
    for door in DOORS
}

#: Bounds set lower than they are, so that bombs are made quickly and little memory is enough.
LOWERED = {
    "data.annotations.base.MAX_ANNOTATION_BYTES": 2**24,
    "data.annotations.parsing.parquet.MAX_TEXT_BYTES": 2**25,
    "data.annotations.robots.side_poses.MAX_ARRAY_BYTES": 2**25,
    "data.media.hdf5.MAX_CHUNK_BYTES": 2**25,
    "data.clips.catalogue_cache.MAX_LINE_BYTES": 2**21,
    "data.records.tables.MAX_COLUMN_BYTES": 2**25,
    "data.records.jsonl.MAX_JSON_BYTES": 2**25,
    "rewards.offline.MAX_LINE_BYTES": 2**22,
    "files.MAX_PIPE_SECONDS": 0.1,
}


def fault_of(folder, door, make, **bounds):
    """What is wrong with how a door takes what ``make`` writes; "" if it reads it or refuses it in a sentence."""
    name, read = DOORS[door]
    file = folder / name
    file.parent.mkdir(parents=True)
    if door == "manifest":
        (file.parent / "prompts.jsonl").write_text("{}\n")
    make(file)
    try:
        with bounded(**bounds):
            read(file)
    except RemotError as error:
        is_long, is_raw = len(str(error)) > 1500, "[Errno" in str(error)
        return str(error)[:200] if is_long or is_raw else ""
    except Exception as error:  # noqa: BLE001 (a traceback, or a bound that does not hold)
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        if file.is_file() and not file.is_symlink():
            file.unlink()  # gigabytes that take no room on the disk
    return ""


#: Those whose files take seconds to make or to read up to the bound.
SLOW_DOORS = (
    "sensor-yaml", "replies", "score", "hdf5", "hdf5-images", "rows-parquet", "wordings", "judgements", "config-keys",
    "run-config",
)  # fmt: skip


@pytest.mark.parametrize(
    "door", [pytest.param(door, marks=[pytest.mark.slow] if door in SLOW_DOORS else []) for door in DOORS]
)
def test_every_door_ends(tmp_path, monkeypatch, door):
    for name, value in LOWERED.items():
        monkeypatch.setattr(f"remot.{name}", value)
    faults = {make.__name__: fault_of(tmp_path / make.__name__, door, make) for make in BROUGHT[door]}
    survived = sum(not fault for fault in faults.values())
    assert {name: fault for name, fault in faults.items() if fault} == {}
    row(f"hostile files to {door}", len(faults), survived)


SIDE, NUM_IMAGES = 4096, 24


def folder_of_images(tmp_path, encoded):
    for number in range(NUM_IMAGES):
        (tmp_path / f"{number}.png").write_bytes(encoded)
    return tmp_path


def listed_images(tmp_path, encoded):
    return tuple(sorted(folder_of_images(tmp_path, encoded).iterdir()))


def images_in_records(tmp_path, encoded):
    (tmp_path / "a.bin").write_bytes(encoded * NUM_IMAGES)
    return EncodedImages(tmp_path / "a.bin", tuple((k * len(encoded), len(encoded)) for k in range(NUM_IMAGES)))


def images_in_hdf5(tmp_path, encoded):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("images", data=np.frombuffer(encoded * NUM_IMAGES, np.uint8).reshape(NUM_IMAGES, -1))
    return Hdf5Images(tmp_path / "a.hdf5", "images")


@pytest.mark.slow
@pytest.mark.parametrize("media", [folder_of_images, listed_images, images_in_records, images_in_hdf5])
def test_large_images_are_checked_one_at_a_time(tmp_path, media):
    """16 kB of each file stand for 50 MB; validation held 128 of them."""
    encoded = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(encoded, "PNG")
    times = np.arange(NUM_IMAGES) / 10
    clip = Clip("a", "a", "test", media(tmp_path, encoded.getvalue()), times)
    with bounded(seconds=60, mebibytes=350):
        check_media(clip)


def test_the_bounds_can_fail():
    with pytest.raises(AssertionError, match="MiB"), bounded(mebibytes=50):
        bytearray(b"x" * 100 * 2**20)
    with pytest.raises(AssertionError, match="took"), bounded(seconds=-1.0):
        pass
