"""Images that an annotation lists and that do not exist: refused, or left out and counted, in every such reader."""

import pytest

from remot.data.annotations import (
    COLMAPReader,
    EuRoCReader,
    GOT10kReader,
    KITTIOdometryReader,
    KITTISceneReader,
    KITTITrackingReader,
    NerfstudioReader,
    NuScenesReader,
    OTBReader,
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
    write_kitti,
    write_nerfstudio,
    write_nuscenes,
    write_scannet,
    write_seven_scenes,
    write_tum,
)
from tests.data.annotations.objects import test_got10k, test_kitti_tracking, test_otb
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


def write_tracks(root):
    labels = [test_kitti_tracking.label(k, 7, left=100.0 + 40 * k, place=(1.0, 1.5, 10.0 + k)) for k in range(5)]
    poses = [test_kitti_tracking.oxts(latitude=k * 1e-5) for k in range(5)]
    test_kitti_tracking.write(root, labels, poses, num=5)


BOXES = [f"{10 * k + 5},5,20,30" for k in range(5)]
NUMBERED = {
    "kitti_odometry": (KITTIOdometryReader, lambda root: write_kitti(shot_of((0, 10, 20, 30, 40)), root)),
    "kitti_tracking": (KITTITrackingReader, write_tracks),
    "kitti_scenes": (KITTISceneReader, write_tracks),
    "otb": (OTBReader, lambda root: test_otb.write(root, BOXES)),
    "got10k": (GOT10kReader, lambda root: test_got10k.write(root, BOXES, num=5)),
}


@pytest.fixture(params=NUMBERED)
def numbered(request, tmp_path):
    """Reader, folder and clip of a recording of five frames whose images are named by their numbers."""
    reader, write = NUMBERED[request.param]
    write(tmp_path)
    return reader, tmp_path, the_clip(reader(), tmp_path)


def assert_part(clip, whole, kept):
    """Each frame that is left has its own image, time, pose and boxes."""
    assert clip.media == tuple(whole.media[k] for k in kept)
    assert_close(clip.pts_seconds, whole.pts_seconds[kept], atol=1e-9)
    for name, track in whole.objects.items():
        assert_close(clip.objects[name].boxes_xyxy, track.boxes_xyxy[kept])
        if track.depths_metres is not None:
            assert_close(clip.objects[name].depths_metres, track.depths_metres[kept])
    if whole.camera is not None:
        assert_close(clip.camera.camera_to_world, whole.camera.camera_to_world[kept])
    if whole.agent is not None:
        assert_close(clip.agent.positions_metres, whole.agent.positions_metres[kept])


def test_numbered_images_that_are_missing_are_left_out_and_counted(numbered, caplog):
    reader, root, whole = numbered
    for k in (1, 3):
        whole.media[k].unlink()
    assert_part(the_clip(reader(on_missing_image="skip"), root), whole, KEPT)
    assert "; 2 frames without one are left out" in caplog.text
    assert str(whole.media[0].parent) in caplog.text


def test_numbered_images_that_are_missing_are_refused_by_default(numbered):
    reader, root, whole = numbered
    whole.media[3].unlink()
    reason, message = refused(reader(), root)
    assert reason == "missing media"
    for fact in ("5 ", "4 images", whole.media[2].name, whole.media[4].name, "on_missing_image"):
        assert fact in message


def test_images_of_other_numbers_are_refused_either_way(numbered):
    """Numbers beyond the annotation's: the images belong to something else."""
    reader, root, whole = numbered
    for image in whole.media[:4]:
        image.unlink()
    whole.media[4].rename(whole.media[4].with_stem("999999"))
    reason, message = refused(reader(on_missing_image="skip"), root)
    assert (reason, "1 images" in message) in {("unsynchronised", True), ("zero length", False)}


def test_a_label_of_a_last_frame_without_an_image_is_left_out(tmp_path):
    """Without oxts only the labels tell that there were five frames."""
    labels = [test_kitti_tracking.label(k, 7) for k in range(5)]
    test_kitti_tracking.write(tmp_path, labels, poses=[], num=4)
    assert refused(KITTITrackingReader(), tmp_path)[0] == "missing media"
    assert the_clip(KITTITrackingReader(on_missing_image="skip"), tmp_path).num_frames == 4


def test_a_missing_image_before_the_first_shifts_no_row(tmp_path):
    """David's rows begin at image 300, by the benchmark's own tool."""
    test_otb.write(tmp_path, BOXES[:3], "David", num=304)
    (tmp_path / "David" / "img" / "0001.jpg").unlink()
    assert [image.stem for image in the_clip(OTBReader(), tmp_path).media] == ["0300", "0301", "0302"]


def test_images_that_are_not_numbered_from_one_are_left_out_only_where_the_first_is_stated(tmp_path):
    """Images 3 to 6 for five rows: nothing tells whether image 2 or image 7 is missing."""
    test_otb.write(tmp_path, BOXES, num=6)
    for k in (1, 2):
        (tmp_path / "Crossing" / "img" / f"{k:04d}.jpg").unlink()
    assert refused(OTBReader(on_missing_image="skip"), tmp_path)[0] == "unsynchronised"


def test_a_gap_shifts_no_row_where_the_first_image_is_stated(tmp_path):
    """Rows belong to images 3 to 6 of 8. Without 4 the third row would get image 6 by its position."""
    test_otb.write(tmp_path, BOXES[:4], num=8)
    settings = {"first_images": {"Crossing": 3}}
    whole = the_clip(OTBReader(**settings), tmp_path)
    assert [image.stem for image in whole.media] == ["0003", "0004", "0005", "0006"]
    whole.media[1].unlink()
    assert refused(OTBReader(**settings), tmp_path)[0] == "missing media"
    assert_part(the_clip(OTBReader(**settings, on_missing_image="skip"), tmp_path), whole, [0, 2, 3])


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
