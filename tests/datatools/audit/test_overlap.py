"""What splits have in common: copies are found, and episodes before one fixed camera are not taken for copies."""

from dataclasses import replace

import numpy as np
import pytest

from remot.data.annotations.native.reader import write_clip
from remot.data.experts import default_experts
from remot.datatools.audit.overlap import overlap_of, shared_frames
from tests.data.handmade import arm_clip

SIZE = 64
#: Metres to the right; from each to the next the arm moves more than the expert's threshold.
RIGHT = (0.0, 0.3, 0.6, 0.9)


def table(arm_at, *, size=SIZE, lighter=None):
    """One view [N, size, size, 3] of textured squares, and an arm of 8 x 8 pixels with its corner at each place."""
    shades = np.random.default_rng(0).uniform(0.2, 0.8, (8, 8, 1))
    view = (shades * (240, 200, 160)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    frames = np.stack([view] * len(arm_at))
    for frame, (x, y) in zip(frames, arm_at, strict=True):
        arm = frame[y : y + 8, x : x + 8]
        arm[:] = 250 if lighter is None else arm + lighter
    step = SIZE // size
    return np.ascontiguousarray(frames[:, ::step, ::step])


def episode(folder, name, arm_at, places=RIGHT, **writing):
    drawing = {name: writing.pop(name) for name in ("size", "lighter") if name in writing}
    folder.mkdir(exist_ok=True)
    clip = arm_clip(list(places), clip_id=name, scene_id=name)
    write_clip(clip, table(arm_at, **drawing), folder, fps=10, source="test", licence="none", **writing)
    return replace(clip, media=folder / f"{name}.mp4")


#: Ways of the arm over the table; all begin at home.
ONE = ((0, 0), (16, 0), (32, 0), (48, 0))
OTHER = ((0, 0), (0, 16), (16, 32), (32, 48))


def overlap(train, test):
    return overlap_of({"train": train, "test": test}, default_experts())


def test_episodes_before_one_fixed_camera_are_no_copies(tmp_path):
    """The same motion to the right by the annotations, and the arm at home in all first images: 2 x 1 alike."""
    train = [episode(tmp_path, "a", ONE), episode(tmp_path, "b", ((0, 0), (0, 48), (16, 48), (48, 16)))]
    found = overlap(train, [episode(tmp_path, "c", OTHER)])
    assert (found.faults, len(found.duplicates)) == ([], 0)
    assert (found.num_frames, found.num_alike) == (12, 2)
    assert found.scenes == {"train": 2, "test": 1}
    assert found.shared_views == {"train": 2, "test": 1}


def test_a_copy_under_another_name_is_found_among_them(tmp_path):
    """Half as large and coded with visible loss; its four images are those of one training clip."""
    train = [episode(tmp_path, "a", ONE), episode(tmp_path, "b", OTHER)]
    found = overlap(train, [episode(tmp_path, "c", OTHER, size=SIZE // 2, crf=30)])
    assert {(one.first.address, one.second.address) for one in found.duplicates} == {
        (("train", "b", frame), ("test", "c", frame)) for frame in range(4)
    }
    assert found.num_alike == 1  # the arm at home in clip a
    (fault,) = found.faults
    for fact in ("4 pairs", "clip b", "clip c", "data.exclude"):
        assert fact in fault


def test_two_moments_in_common_are_enough(tmp_path):
    """The second half of one clip is the first half of the other."""
    train = [episode(tmp_path, "a", ((48, 48), (32, 0), (0, 0), (16, 16)))]
    found = overlap(train, [episode(tmp_path, "b", ((0, 0), (16, 16), (0, 48), (48, 0)))])
    assert {(one.first.frame, one.second.frame) for one in found.duplicates} == {(2, 0), (3, 1)}


def test_the_same_images_with_other_labels_give_nothing_away(tmp_path):
    train = [episode(tmp_path, "a", ONE)]
    found = overlap(train, [episode(tmp_path, "b", ONE, places=RIGHT[::-1])])
    assert (found.faults, found.num_alike) == ([], 4)


def test_motion_that_is_hardly_seen_does_not_make_copies(tmp_path):
    """A shade of 30 levels moves by four pixels in each clip, and lies three pixels elsewhere in the other clip."""
    train = [episode(tmp_path, "a", ((17, 17), (21, 17)), (0.0, 0.3), lighter=30)]
    found = overlap(train, [episode(tmp_path, "b", ((17, 20), (21, 20)), (0.0, 0.3), lighter=30)])
    assert (found.faults, found.num_alike) == ([], 4)
    copied = [episode(tmp_path, "c", ((17, 17), (21, 17)), (0.0, 0.3), lighter=30)]
    assert len(overlap(train, copied).duplicates) == 4


@pytest.mark.parametrize(("places", "is_copy"), [((0.0,) * 4, True), (RIGHT, False)])
def test_clips_in_which_nothing_moves(tmp_path, places, is_copy):
    """Whole clips of one image are copies, if their labels agree; what moves unseen tells them apart."""
    still = ((16, 16),) * 4
    found = overlap([episode(tmp_path, "a", still, (0.0,) * 4)], [episode(tmp_path, "b", still, places)])
    assert bool(found.duplicates) == is_copy


def test_frames_of_one_file_in_two_splits(tmp_path):
    """Frames 2 and 3 of one video, whatever the clips and scenes are called; others of the same video do not count."""
    whole = episode(tmp_path, "a", ONE)
    part = {"pts_seconds": np.arange(2) / 10, "effectors": {}}
    late = replace(whole, clip_id="late", scene_id="s", media_pts_seconds=np.array([0.2, 0.3]), **part)
    early = replace(whole, clip_id="early", scene_id="t", media_pts_seconds=np.array([0.0, 0.1]), **part)
    assert shared_frames({"train": [early], "val": [], "test": [late]}) == []
    (sentence,) = shared_frames({"train": [whole], "test": [late]})
    for fact in ("2 frames", "clip a (train)", "clip late (test)"):
        assert fact in sentence
    assert any("clip late" in fault for fault in overlap([whole], [late]).faults)


def test_image_files_in_two_splits(tmp_path):
    files = tuple(tmp_path / f"{k}.png" for k in range(4))
    one, other, third = (
        replace(arm_clip([0.0] * 2, clip_id=name), media=files[k : k + 2]) for k, name in enumerate("abc")
    )
    assert shared_frames({"train": [one], "test": [third]}) == []
    (sentence,) = shared_frames({"train": [one], "test": [other]})
    assert "1 frames of clip a (train) and clip b (test)" in sentence
