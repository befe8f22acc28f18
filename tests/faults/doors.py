"""Every way by which the package reads a file that others may have written, and what hostile files are made of.

A door reads a file, and returns something or raises an error of this library.
"""

import gzip
import io
import os
import resource
import socket
import struct
import time
import zipfile
import zlib
from collections import deque
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from remot.commands.parsing.config_files import read_config_file
from remot.commands.parsing.errors import keys_of_files
from remot.commands.training.run_folder import OWNER_FILE, read_owner
from remot.data.annotations.base import read_json_object, read_text
from remot.data.annotations.cameras.colmap_binary import read_cameras_binary
from remot.data.annotations.cameras.euroc import _read_sensor
from remot.data.annotations.native.reader import NativeReader
from remot.data.annotations.objects.tracked import read_ini_section
from remot.data.annotations.parsing.parquet import column_names, read_columns, texts
from remot.data.annotations.parsing.tfrecord import index_records, masked_crc32c, read_record
from remot.data.annotations.robots.effector_poses import _from_csv
from remot.data.annotations.robots.side_poses import read_positions
from remot.data.clips.catalogue_cache import load_catalogue
from remot.data.clips.exclusions import Exclusions
from remot.data.media.archives import EncodedImages, Hdf5Images
from remot.data.media.hdf5 import opened_hdf5, read_array
from remot.data.media.images import read_image, size_of_image
from remot.data.media.masks import draw_mask
from remot.data.media.video.probe import probe
from remot.data.questions.templates import read_wordings
from remot.data.records.reading import read_recorded
from remot.data.records.tables import rows_in
from remot.evaluation.benchmarks.judging import CachedGrader
from remot.evaluation.benchmarks.replies import ReplyStore
from remot.evaluation.model_card import read_results, run_config
from remot.models.adapter_folder import read_adapter
from remot.rewards.offline import read_rows
from remot.strategies.checkpoint_io import read_checkpoint
from remot.structures import ObjectTrack
from remot.tracking.journal import known_run_id

MEBIBYTE = 2**20


@contextmanager
def bounded(seconds=15.0, mebibytes=120):
    """Fails if what is inside takes longer, or more resident memory at any moment, than that; no more can be had."""
    before, started = _resident("VmRSS"), time.monotonic()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    resource.setrlimit(resource.RLIMIT_AS, (_resident("VmSize") + (1024 + mebibytes) * MEBIBYTE, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        took, grew = time.monotonic() - started, _resident("VmHWM") - before
    assert took < seconds, f"took {took:.1f} s"
    assert grew < mebibytes * MEBIBYTE, f"took {grew / MEBIBYTE:.0f} MiB"


def _resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


# -- doors -----------------------------------------------------------------------------------------------------------


def _all(iterator):
    """Go to the end, and keep nothing."""
    deque(iterator, maxlen=0)


def _parquet_texts(file):
    column_names(file)
    texts(file, read_columns(file, ["text"]), "text")


def _record(file):
    spans, _ = index_records(file)
    for span in spans:
        read_record(file, span)


def _hdf5_array(file):
    with opened_hdf5(file) as content:
        read_array(content, "array")


def _mask(file):
    track = ObjectTrack(boxes_xyxy=np.array([[0.0, 0.0, 4.0, 4.0]]), masks=(file,))
    draw_mask(track, 0, np.zeros((3, 8, 8), np.uint8))


#: Name of a file, and what reads it.
DOORS = {
    "text": ("a.txt", read_text),
    "object": ("a.json", read_json_object),
    "native": ("a.json", lambda file: list(NativeReader().read(file.parent))),
    "ini": ("seqinfo.ini", lambda file: read_ini_section(file, "Sequence")),
    "poses-csv": ("a.csv", _from_csv),
    "sensor-yaml": ("sensor.yaml", _read_sensor),
    "wordings": ("a.yaml", read_wordings),
    "exclusions": ("a.txt", Exclusions.read),
    "records": ("a.jsonl", read_recorded),
    "manifest": ("manifest.json", lambda file: read_recorded(file.parent)),
    "catalogue": ("a.json", load_catalogue),
    "rows-json": ("a.json", lambda file: _all(rows_in(file))),
    "rows-jsonl": ("a.jsonl", lambda file: _all(rows_in(file))),
    "rows-csv": ("a.csv", lambda file: _all(rows_in(file))),
    "rows-tsv": ("a.tsv", lambda file: _all(rows_in(file))),
    "rows-parquet": ("a.parquet", lambda file: _all(rows_in(file))),
    "score": ("a.jsonl", lambda file: _all(read_rows(file))),
    "replies": ("replies.jsonl", ReplyStore),
    "judgements": ("judge.jsonl", lambda file: CachedGrader(file, "judge", str)),
    "results": ("held_out.json", lambda file: read_results(file, None, None)),
    "run-config": ("config.yaml", lambda file: run_config(file.parent)),
    "config": ("a.yaml", read_config_file),
    "config-keys": ("a.yaml", lambda file: keys_of_files([str(file)])),
    "owner": (OWNER_FILE, lambda file: read_owner(file.parent)),
    "journal": ("tracking/store.json", lambda file: known_run_id(file.parent.parent, "pending-1")),
    "adapter-config": ("adapter_config.json", lambda file: read_adapter(file.parent)),
    "parquet": ("a.parquet", _parquet_texts),
    "npz": ("a.npz", lambda file: read_positions(file, {"hand": "hand"}, 4)),
    "tfrecord": ("a.tfrecord", _record),
    "colmap": ("cameras.bin", read_cameras_binary),
    "hdf5": ("a.hdf5", _hdf5_array),
    "hdf5-images": ("a.hdf5", lambda file: Hdf5Images(file, "images").read([0])),
    "encoded": ("a.bin", lambda file: EncodedImages(file, ((0, 64),)).read([0])),
    "image": ("a.png", read_image),
    "image-size": ("a.png", size_of_image),
    "mask": ("a.png", _mask),
    "video": ("a.mp4", probe),
    "checkpoint": ("a.ckpt", read_checkpoint),
}

# -- what is no file -------------------------------------------------------------------------------------------------


def pipe(path):
    os.mkfifo(path)


def link_to_a_pipe(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def link_to_a_device(path):
    path.symlink_to("/dev/zero")


def link_to_itself(path):
    path.symlink_to(path.name)


def bound_socket(path):
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is bounded
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def folder(path):
    path.mkdir()


NO_FILES = (pipe, link_to_a_pipe, link_to_a_device, link_to_itself, bound_socket, folder)


# -- hostile content -------------------------------------------------------------------------------------------------


def empty(path):
    path.touch()


def huge(path):
    """8 GiB of zeros that take no room on the disk."""
    with path.open("wb") as file:
        file.truncate(8 * 1024 * MEBIBYTE)


def noise(path):
    path.write_bytes(np.random.default_rng(0).bytes(MEBIBYTE))


def deep_lists(path):
    path.write_text("[" * 100_000 + "]" * 100_000)


def deep_objects(path):
    path.write_text('{"a":' * 100_000 + "1" + "}" * 100_000)


def nested_900(path):
    """So deep that it can be read, but hardly written into a sentence."""
    path.write_text('{"format": ' + "[" * 900 + "]" * 900 + "}")


def deep_flow(path):
    path.write_text("a: " + "{a: " * 100_000)


def deep_blocks(path):
    path.write_text("".join(f"{' ' * k}a:\n" for k in range(1400)))


def long_number(path):
    path.write_text('{"format": ' + "9" * 2_000_000 + "}")


def laughs(path):
    """Aliases that stand for 10^12 values, and a text of as many characters once it is written out."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
    path.write_text("\n".join(lines) + "\n")


def merges(path):
    """The same by merge keys, which are copied while the file is read."""
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{k}: &a{k} {{<<: [{', '.join([f'*a{k - 1}'] * 10)}]}}" for k in range(1, 9)]
    path.write_text("\n".join(lines) + "\n")


def many_keys(path):
    path.write_text("".join(f"k{k}: [{k}]\n" for k in range(80_000)))


def long_field(path):
    path.write_text("time_seconds,x\n" + "1" * (3 * MEBIBYTE) + ",2\n")


def nul_field(path):
    path.write_text("time_seconds,x,y,z\n1,2\0,3,4\n")


def open_quote(path):
    path.write_text('a,b\n"' + "x\n" * (MEBIBYTE // 8))


TEXTS = (
    *(empty, huge, noise, deep_lists, deep_objects, nested_900, deep_flow, deep_blocks, long_number, laughs, merges),
    *(many_keys, long_field, nul_field, open_quote),
)


# -- bombs of one format ---------------------------------------------------------------------------------------------


def png_bomb(path, side=60_000):
    """A few kilobytes that stand for 10 GB of pixels."""
    _write_png(path, side, side, zlib.compress(bytes(1000)))


def _write_png(path, width, height, data):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def png_text_bomb(path):
    """Compressed text beside the pixels that unpacks to 256 MiB."""
    packed = zlib.compress(bytes(256 * MEBIBYTE), 1)
    plain = io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "PNG")
    held = plain.getvalue()
    content = b"note\0\0" + packed
    chunk = struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))
    path.write_bytes(held[:33] + chunk + held[33:])


def parquet_bomb(path):
    """A table of 20,000 rows that all hold one text of 100,000 characters: 2 GB in a hundred kilobytes."""
    dictionary = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, np.int32)), ["x" * 100_000])
    pq.write_table(pa.table({"text": dictionary}), path, compression="zstd")


def parquet_page_bomb(path):
    """One value of 128 MiB."""
    table = pa.table({"text": pa.array(["x" * (128 * MEBIBYTE)], pa.large_string())})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)


def parquet_deep(path):
    """A column of lists in lists, 300 deep."""
    kind = pa.string()
    for _ in range(300):
        kind = pa.list_(kind)
    pq.write_table(pa.table({"text": pa.array([], kind)}), path)


def zip_bomb(path):
    """An array of 160 MiB of zeros in 1 MB, which claims 4 GiB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**29, 1)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("hand.npy", header.getvalue() + bytes(160 * MEBIBYTE))


def zip_damaged(path):
    """The packed bytes are none."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("hand.npy", np.random.default_rng(0).bytes(4000))
    held = bytearray(path.read_bytes())
    held[38:200] = b"\xff" * 162
    path.write_bytes(held)


def zip_locked(path):
    """An archive that asks for a password."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hand.npy", b"abc")
    held = bytearray(path.read_bytes())
    held[6] |= 1
    held[held.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(held)


def npy_header_bomb(path):
    """A header of literals that is nested deeply, and one that claims 10^18 values."""
    text = ("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "(" * 3000 + ")" * 3000 + "), }").encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hand.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)


def tfrecord_claim(path):
    """A record that claims 2^62 bytes."""
    length = struct.pack("<Q", 2**62)
    path.write_bytes(length + struct.pack("<I", masked_crc32c(length)) + bytes(100))


def tfrecord_long(path):
    """A record of 7 GiB of zeros that take no room."""
    size = 7 * 1024 * MEBIBYTE
    length = struct.pack("<Q", size)
    path.write_bytes(length + struct.pack("<I", masked_crc32c(length)))
    with path.open("r+b") as file:
        file.truncate(12 + size + 4)


def hdf5_chunk_bomb(path):
    """Small arrays in chunks of 128 MiB that unpack from a few megabytes."""
    with h5py.File(path, "w") as file:
        file.create_dataset("array", (4, 1), "f8", chunks=(2**24, 1), maxshape=(None, None), compression="lzf")[:] = 1
        images = file.create_dataset("images", (1, 8, 8, 3), "u1", chunks=(2**13, 128, 128, 1), maxshape=(None,) * 4)
        images[:] = 1


def hdf5_wide(path):
    """Rows of a type that is a gigabyte wide."""
    with h5py.File(path, "w") as file:
        file.create_dataset("array", (10**9,), "f8", chunks=(1000,))
        file.create_dataset("images", (1,), f"S{2**30}")


def safetensors_claim(path):
    """A header that claims 2^60 bytes, in the folder of an adapter."""
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")


def checkpoint_bomb(path):
    """A zip that unpacks to 160 MiB, as a checkpoint."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("archive/data.pkl", bytes(160 * MEBIBYTE))


def gzipped(path):
    path.write_bytes(gzip.compress(bytes(64 * MEBIBYTE)))


def many_cameras(path):
    """As many cameras as fit into a number, in 100 bytes."""
    path.write_bytes(struct.pack("<Q", 2**63) + bytes(92))


def line_of_json(path):
    """One line without an end, of 8 GiB that take no room on the disk."""
    path.write_text('{"a": "')
    with path.open("r+b") as file:
        file.truncate(8 * 1024 * MEBIBYTE)


#: Doors to which text is brought: those of text, and a few others.
NO_TEXT = ("png", "bin", "hdf5", "npz", "ckpt")
TEXT_DOORS = tuple(door for door, (name, _) in DOORS.items() if not name.endswith(NO_TEXT))

#: Doors to which each bomb is brought.
BOMBS = {
    png_bomb: ("image", "image-size", "mask", "encoded"),
    png_text_bomb: ("image", "image-size", "mask"),
    parquet_bomb: ("parquet", "rows-parquet"),
    parquet_page_bomb: ("parquet", "rows-parquet"),
    parquet_deep: ("parquet", "rows-parquet"),
    zip_bomb: ("npz",),
    zip_damaged: ("npz",),
    zip_locked: ("npz",),
    npy_header_bomb: ("npz",),
    tfrecord_claim: ("tfrecord",),
    tfrecord_long: ("tfrecord",),
    hdf5_chunk_bomb: ("hdf5", "hdf5-images"),
    hdf5_wide: ("hdf5", "hdf5-images"),
    checkpoint_bomb: ("checkpoint",),
    gzipped: ("text", "object", "tfrecord", "checkpoint", "hdf5"),
    many_cameras: ("colmap",),
    line_of_json: ("records", "rows-jsonl", "score", "replies", "judgements"),
}
