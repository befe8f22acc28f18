"""Every reader reads files as other systems leave them: byte-order marks, line ends, bookkeeping, pipes."""

import os
import re
from functools import partial

import numpy as np
import pytest

from remot.data import annotations
from remot.data.annotations import write_clip
from remot.data.annotations.base import media_inside
from remot.data.media import check_media
from remot.errors import AnnotationError, DecodeError
from tests.data.annotations import layouts, test_whole_scenes
from tests.data.annotations.cameras import test_re10k
from tests.data.annotations.games import test_game_log
from tests.data.annotations.objects import (
    test_charades_sta,
    test_got10k,
    test_kitti_tracking,
    test_layout,
    test_mot,
    test_otb,
    test_sims_v,
)
from tests.data.annotations.robots import test_agibot, test_aloha, test_effector_poses, test_lerobot, test_rlds
from tests.data.handmade import camera_clip, write_folder


def write_native(root):
    clip = camera_clip((0, 10, 20, 20))
    write_clip(clip, np.zeros((4, 32, 32, 3), np.uint8), root, fps=10, source="ä", licence="CC0")


def write_agibot(root):
    test_agibot.write_actions(test_agibot.write_episode(root))


def write_got10k(root):
    test_got10k.write(root, absence="0\n1\n0\n")


def shot_in(write):
    return lambda root: write(layouts.shot_of(), root)


WALK = test_mot.WALK
BOX = {"path": "x/y/GOT-10k_Train_1", "object": "sloth", "gt": [[0.1, 0.1, 0.5, 0.5]]}
#: For each reader how its files are written; those that a package of its own reads have no text.
READERS = {
    "native": (write_native, annotations.NativeReader),
    "mixture": (
        lambda root: write_folder(root / "own", [camera_clip((0, 10, 20, 20))]),
        partial(annotations.MixtureReader, folders={"own": annotations.NativeReader()}),
    ),
    "tum": (shot_in(layouts.write_tum), annotations.TUMReader),
    "slambook": (shot_in(layouts.write_slambook), annotations.TUMReader),
    "euroc": (shot_in(layouts.write_euroc), annotations.EuRoCReader),
    "seven_scenes": (shot_in(layouts.write_seven_scenes), annotations.SevenScenesReader),
    "sims_v": (test_sims_v.write, annotations.SIMSVReader),
    "scannet": (shot_in(layouts.write_scannet), annotations.ScanNetReader),
    "kitti": (shot_in(layouts.write_kitti), annotations.KITTIOdometryReader),
    "colmap_text": (shot_in(layouts.write_colmap_text), annotations.COLMAPReader),
    "colmap_binary": (shot_in(layouts.write_colmap_binary), annotations.COLMAPReader),
    "nerfstudio": (shot_in(layouts.write_nerfstudio), annotations.NerfstudioReader),
    "nuscenes": (shot_in(layouts.write_nuscenes), annotations.NuScenesReader),
    "re10k": (test_re10k.write_pair, annotations.RealEstate10KReader),
    "game_log": (test_game_log.write_log, annotations.GameLogReader),
    "mot": (lambda root: test_mot.write(root, WALK), annotations.MOTReader),
    "mot_scenes": (lambda root: test_mot.write(root, WALK), annotations.MOTSceneReader),
    "otb": (lambda root: test_otb.write(root, ["5,5,9,9"] * 3), annotations.OTBReader),
    "got10k": (write_got10k, partial(annotations.GOT10kReader, assume_static=True)),
    "got10k_list": (lambda root: test_got10k.write_list(root, [BOX]), annotations.GOT10kListReader),
    "kitti_tracking": (test_kitti_tracking.write, annotations.KITTITrackingReader),
    "kitti_scenes": (test_whole_scenes.write_kitti, annotations.KITTISceneReader),
    "layout": (lambda root: test_layout.write(root, {"scene0251_00": test_layout.SCENE}), annotations.LayoutReader),
    "layout_own": (lambda root: test_layout.write(root, test_layout.OWN, "layout.json"), annotations.LayoutReader),
    "charades_json": (
        lambda root: test_charades_sta.write_json(root, {"3MSZA": test_charades_sta.VIDEO}),
        annotations.CharadesSTAReader,
    ),
    "charades_text": (test_charades_sta.write_text, annotations.CharadesSTAReader),
    "agibot": (write_agibot, annotations.AgiBotReader),
    "aloha": (test_aloha.write_episode, annotations.AlohaReader),
    "lerobot_v2": (test_lerobot.write_v2, test_lerobot.reader),
    "lerobot_v3": (test_lerobot.write_v3, test_lerobot.reader),
    "effector_poses": (test_effector_poses.write, partial(annotations.EffectorPosesReader, opening_range=(0, 85))),
    "rlds": (lambda root: test_rlds.write_records(root, test_rlds.record()), annotations.BridgeReader),
}
TEXTS = {".json", ".jsonl", ".txt", ".csv", ".yaml", ".ini", ".label"}
every_reader = pytest.mark.parametrize("name", READERS)


def content_of(clip):
    """All that a clip holds, as one text that does not depend on where its folder lies."""
    return {name: plain(value) for name, value in vars(clip).items()}


def plain(value):
    if isinstance(value, np.ndarray):
        return value.tolist().__repr__()
    if hasattr(value, "__dict__") and not isinstance(value, os.PathLike):
        return {name: plain(part) for name, part in vars(value).items()}
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return str(value)


def read(name, root):
    """Contents of the clips, read by a new reader, since readers keep what they have read."""
    return [content_of(clip) for clip in READERS[name][1]().read(root)]


def texts_in(root):
    return [path for path in root.rglob("*") if path.suffix in TEXTS]


@pytest.fixture
def written(name, tmp_path):
    READERS[name][0](tmp_path)
    clips = read(name, tmp_path)
    assert clips
    return tmp_path, clips


def test_every_reader_is_tried():
    tried = {type(make()) for _, make in READERS.values()} | {annotations.RLDSReader, annotations.DroidReader}
    bases = {annotations.AnnotationReader, annotations.FileReader, annotations.SequenceReader}
    named = [one for one in vars(annotations).values() if isinstance(one, type)]
    assert {one for one in named if issubclass(one, annotations.AnnotationReader)} == tried | bases


@every_reader
def test_byte_order_marks(name, written):
    root, clips = written
    for file in texts_in(root):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read(name, root) == clips


@every_reader
def test_line_ends_of_windows(name, written):
    root, clips = written
    for file in texts_in(root):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert read(name, root) == clips


@every_reader
def test_bookkeeping_of_macos(name, written):
    """A volume without extended attributes gets a ``._`` file beside every file, an archive a tree ``__MACOSX``."""
    root, clips = written
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
        copied = root / "__MACOSX" / path.relative_to(root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(b"\x00\x05\x16\x07")
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        (folder / ".DS_Store").write_bytes(b"\0")
    assert read(name, root) == clips


@pytest.mark.timeout(20)
@every_reader
def test_pipes_in_place_of_files_are_named(name, written):
    """Each file in turn; a set may do without it, but nothing waits for it, and what is wrong is one sentence."""
    root, clips = written
    for path in [path for path in root.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        outcome = outcome_of(name, root)
        assert isinstance(outcome, AnnotationError | DecodeError) or path.name not in str(outcome)
        if isinstance(outcome, Exception):
            assert "[Errno" not in str(outcome)
            assert "<_io" not in str(outcome)
        path.unlink()
        path.write_bytes(content)
    assert read(name, root) == clips


def outcome_of(name, root):
    """What the clips hold, checked with their media, or what is wrong."""
    try:
        clips = list(READERS[name][1]().read(root))
        for clip in clips:
            check_media(clip)
    except (AnnotationError, DecodeError) as error:
        return error
    return [content_of(clip) for clip in clips]


def with_backslashes(root):
    """Paths in annotations as programs on Windows write them."""
    layouts.write_nerfstudio(layouts.shot_of(), root / "a")
    file = root / "a" / "garden" / "transforms.json"
    file.write_text(re.sub(r'images/(frame_\d+)"', r'images\\\\\1.png"', file.read_text()))
    layouts.write_tum(layouts.shot_of(), root / "b")
    (listed,) = root.rglob("rgb.txt")
    listed.write_text(listed.read_text().replace("rgb/", "rgb\\"))


def test_separators_of_windows(tmp_path):
    with_backslashes(tmp_path)
    for reader in (annotations.NerfstudioReader(), annotations.TUMReader()):
        (clip,) = reader.read(tmp_path)
        assert len(clip.media) == 3
        check_media(clip)


def test_a_backslash_may_be_part_of_a_name(tmp_path):
    (tmp_path / "a\\b.png").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").touch()
    assert media_inside(tmp_path / "c.json", tmp_path, "a\\b.png") == tmp_path / "a\\b.png"


def test_separators_of_windows_do_not_lead_outside(tmp_path):
    (tmp_path / "outside.png").touch()
    (tmp_path / "root").mkdir()
    with pytest.raises(AnnotationError) as refused:
        media_inside(tmp_path / "root" / "c.json", tmp_path / "root", "..\\outside.png")
    assert refused.value.reason == "outside root"
