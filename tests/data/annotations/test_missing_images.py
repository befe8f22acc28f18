"""Images that an annotation lists and that do not exist: refused, or left out and counted, in every such reader."""

import pytest

from remot.data.annotations import (
    COLMAPReader,
    EuRoCReader,
    NerfstudioReader,
    NuScenesReader,
    ScanNetReader,
    SevenScenesReader,
    TUMReader,
)
from tests.data.annotations.layouts import (
    refused,
    shot_of,
    the_clip,
    write_colmap_text,
    write_euroc,
    write_nerfstudio,
    write_nuscenes,
    write_scannet,
    write_seven_scenes,
    write_tum,
)
from tests.helpers import assert_close

LAYOUTS = {
    "nerfstudio": (NerfstudioReader, write_nerfstudio),
    "tum": (TUMReader, write_tum),
    "euroc": (EuRoCReader, write_euroc),
    "colmap": (COLMAPReader, write_colmap_text),
    "nuscenes": (NuScenesReader, write_nuscenes),
    "seven_scenes": (SevenScenesReader, write_seven_scenes),
    "scannet": (ScanNetReader, write_scannet),
}
KEPT = [0, 2, 4]


@pytest.fixture(params=LAYOUTS)
def recording(request, tmp_path):
    """Reader, folder and clip of a recording of five frames."""
    reader, write = LAYOUTS[request.param]
    write(shot_of((0, 10, 20, 30, 40)), tmp_path)
    return reader, tmp_path, the_clip(reader(), tmp_path)


def test_frames_without_an_image_are_left_out_and_counted(recording, caplog):
    """The second and fourth of five: poses and times of the others stay as they were."""
    reader, root, whole = recording
    for k in (1, 3):
        whole.media[k].unlink()
    clip = the_clip(reader(on_missing_image="skip"), root)
    assert clip.media == tuple(whole.media[k] for k in KEPT)
    assert_close(clip.pts_seconds, whole.pts_seconds[KEPT], atol=1e-9)
    assert_close(clip.camera.camera_to_world, whole.camera.camera_to_world[KEPT])
    if whole.agent is not None:
        assert_close(clip.agent.positions_metres, whole.agent.positions_metres[KEPT])
    assert "2 of 5 listed images are missing and are left out" in caplog.text
    assert whole.media[1].name in caplog.text


def test_they_are_refused_by_default_with_their_folder(recording):
    reader, root, whole = recording
    for k in (1, 3):
        whole.media[k].unlink()
    reason, message = refused(reader(), root)
    assert reason == "missing media"
    for fact in ("2 of 5", whole.media[1].name, f" in {root}", "on_missing_image"):
        assert fact in message


def test_a_recording_without_any_image_is_refused_either_way(recording):
    reader, root, whole = recording
    for image in whole.media:
        image.unlink()
    reason, message = refused(reader(on_missing_image="skip"), root)
    assert reason == "missing media"
    assert "5 of 5" in message


def test_a_first_frame_that_is_missing_moves_the_start(recording):
    reader, root, whole = recording
    whole.media[0].unlink()
    clip = the_clip(reader(on_missing_image="skip"), root)
    assert_close(clip.pts_seconds, whole.pts_seconds[1:] - whole.pts_seconds[1], atol=1e-9)
    assert_close(clip.camera.camera_to_world, whole.camera.camera_to_world[1:])


def test_an_image_outside_the_root_is_never_just_missing(tmp_path):
    folder = write_nerfstudio(shot_of(), tmp_path / "root")
    file = folder / "transforms.json"
    file.write_text(file.read_text().replace("./images/frame_9", "../../outside.png"))
    reason, _ = refused(NerfstudioReader(on_missing_image="skip"), tmp_path / "root")
    assert reason == "outside root"


@pytest.mark.parametrize(
    ("reader", "write", "poses"),
    [
        (TUMReader, write_tum, "groundtruth.txt"),
        (EuRoCReader, write_euroc, "data.csv"),
    ],
)
def test_images_without_a_pose_are_counted(tmp_path, caplog, reader, write, poses):
    """The last of five images has no pose near it, once the last three rows of poses are gone."""
    folder = write(shot_of((0, 10, 20, 30, 40)), tmp_path)
    file = next(file for file in folder.rglob(poses) if "cam0" not in file.parts)
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-3]))
    assert the_clip(reader(), tmp_path).num_frames == 4
    assert "1 of 5 images are left out" in caplog.text
    assert str(file) in caplog.text
