"""KITTI tracking files, hand-made in the real layout, come out in the library's conventions."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from remot.data.annotations import KITTITrackingReader
from remot.data.annotations.objects.kitti_oxts import camera_of
from remot.data.experts import CameraPitch, CameraYaw, MaskFrame, ObjectDepth, ObjectHorizontal
from remot.data.media import read_frames
from remot.errors import AnnotationError, ConfigError
from tests.data.annotations.good_clips import good_clips
from tests.data.annotations.images import levels, write_images
from tests.helpers import assert_close

#: Velodyne axes (x forward, y left, z up) to camera axes (x right, y down, z forward); the IMU's are the velodyne's.
FORWARD_LEFT_UP = "0 -1 0 0 0 0 -1 0 1 0 0 0"
CALIB = f"""P0: 700 0 320 0 0 700 240 0 0 0 1 0
P2: 700 0 320 0 0 700 240 0 0 0 1 0
R_rect 1 0 0 0 1 0 0 0 1
Tr_velo_cam {FORWARD_LEFT_UP}
Tr_imu_velo 1 0 0 0 0 1 0 0 0 0 1 0
"""
#: Metres of one degree of latitude on the sphere that the source uses: 2 pi 6378137 / 360.
DEGREE_METRES = 111_319.490793


def label(frame, track, left=100.0, kind="Car", place=(1.0, 1.5, 10.0), truncated=0, occluded=0, height=50.0):
    box = (left, 100.0, left + 60.0, 100.0 + height)
    words = (frame, track, kind, truncated, occluded, -1.5, *box, 1.4, 1.6, 4.0, *place, 0.1)
    return " ".join(map(str, words))


def oxts(latitude=0.0, longitude=0.0, altitude=0.0, roll=0.0, pitch=0.0, yaw=0.0):
    return " ".join(map(str, [latitude, longitude, altitude, roll, pitch, yaw, *[0.0] * 24]))


#: A car that drives away, and an unlabelled region.
LABELS = [
    "0 -1 DontCare -1 -1 -10 1 2 3 4 -1000 -1000 -1000 -10 -1 -1 -1",
    *(label(k, 7, left=100.0 + 40 * k, place=(1.0, 1.5, 10.0 + k)) for k in range(3)),
]


def write(root, labels=LABELS, poses=None, calib=CALIB, num=3):
    base = root / "training"
    for name in ("label_02", "calib", "oxts"):
        (base / name).mkdir(parents=True)
    (base / "label_02" / "0000.txt").write_text("\n".join(labels) + "\n")
    (base / "calib" / "0000.txt").write_text(calib)
    poses = [oxts()] * 3 if poses is None else poses
    if poses:
        (base / "oxts" / "0000.txt").write_text("\n".join(poses) + "\n")
    write_images(base / "image_02" / "0000", [f"{k:06d}.png" for k in range(num)], (640, 480))
    return base


def read(root, **settings):
    return list(KITTITrackingReader(**settings).read(root))


def camera(root, poses, calib=CALIB):
    base = write(root, poses=poses, calib=calib)
    return camera_of(base / "calib" / "0000.txt", base / "oxts" / "0000.txt")


def test_boxes_depths_and_times(tmp_path):
    write(tmp_path)
    (clip,) = good_clips(KITTITrackingReader(), tmp_path)
    track = clip.objects["car"]
    assert_close(track.boxes_xyxy, [[100, 100, 160, 150], [140, 100, 200, 150], [180, 100, 240, 150]])
    assert_close(track.depths_metres, [10, 11, 12])
    assert_close(clip.pts_seconds, [0, 0.1, 0.2])
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("kitti-0000-car-7", "kitti-0000", "kitti_tracking")
    assert levels(read_frames(clip, [2, 0])) == [2, 0]
    assert ObjectHorizontal().label(clip, 0, 1, "car").value == "right"
    assert clip.camera.is_metric
    assert_close(clip.camera.intrinsics, [[700, 0, 320], [0, 700, 240], [0, 0, 1]])


def test_nothing_is_asked_about_the_image_while_the_car_drives(tmp_path):
    write(tmp_path, poses=[oxts(longitude=k / DEGREE_METRES) for k in range(3)])  # a metre to the east in each
    (clip,) = read(tmp_path)
    assert ObjectHorizontal().label(clip, 0, 1, "car") is None


def test_driving_ahead_is_forward(tmp_path):
    """Yaw 0 faces east: a metre east is a metre along the camera's z. Half a metre up is along its -y."""
    track = camera(
        tmp_path, [oxts(), oxts(longitude=1 / DEGREE_METRES, altitude=0.5), oxts(latitude=1 / DEGREE_METRES)]
    )
    assert_close(track.camera_to_world[0], np.eye(4))
    assert_close(track.camera_to_world[1, :3, 3], [0, -0.5, 1], rtol=1e-5, atol=1e-5)
    assert_close(track.camera_to_world[2, :3, 3], [-1, 0, 0], rtol=1e-5, atol=1e-5)  # north is to the left of east


def test_metres_shrink_with_the_latitude(tmp_path):
    """At 60 degrees north a degree of longitude is half as long; facing north it is to the right."""
    north = {"latitude": 60.0, "yaw": np.pi / 2}
    track = camera(tmp_path, [oxts(**north), oxts(longitude=1 / DEGREE_METRES, **north)])
    assert_close(track.camera_to_world[1, :3, 3], [0.5, 0, 0], rtol=1e-5, atol=1e-5)


def test_turns_have_the_right_sign(tmp_path):
    """Yaw counts counter-clockwise from above, so it grows to the left; a nose that goes down has a positive pitch."""
    write(tmp_path, poses=[oxts(), oxts(yaw=np.radians(20)), oxts(pitch=np.radians(20))])
    (clip,) = read(tmp_path)
    assert CameraYaw().label(clip, 0, 1, "").value == "left"
    assert CameraPitch().label(clip, 0, 2, "").value == "down"


def test_rotations_agree_with_an_independent_reference(tmp_path):
    """scipy's extrinsic xyz turns about x first, then y, then z: Rz Ry Rx."""
    angles = [0.1, -0.2, 0.7]
    track = camera(tmp_path, [oxts(), oxts(roll=angles[0], pitch=angles[1], yaw=angles[2])])
    axes = np.array([float(word) for word in FORWARD_LEFT_UP.split()]).reshape(3, 4)[:, :3]
    expected = axes @ Rotation.from_euler("xyz", angles).as_matrix() @ axes.T
    assert_close(track.camera_to_world[1, :3, :3], expected)


def test_levers_of_the_calibration_count(tmp_path):
    """A camera 2 m ahead of the IMU goes 2 m to the left and 2 m back when the car turns left by 90 degrees."""
    calib = CALIB.replace("Tr_imu_velo 1 0 0 0", "Tr_imu_velo 1 0 0 -2")
    track = camera(tmp_path, [oxts(), oxts(yaw=np.pi / 2)], calib)
    assert_close(track.camera_to_world[1, :3, 3], [-2, 0, -2])


def test_the_colour_camera_lies_beside_the_first(tmp_path):
    """P2 = K [I | t] with K t = (-70, 0, 0): t = (-0.1, 0, 0), so the camera sits 0.1 m right of the first one. When
    the car turns about that first one by 180 degrees, the colour camera ends 0.2 m to its own old left."""
    calib = CALIB.replace("P2: 700 0 320 0", "P2: 700 0 320 -70")
    track = camera(tmp_path, [oxts(), oxts(yaw=np.pi)], calib)
    assert_close(track.camera_to_world[1, :3, 3], [-0.2, 0, 0])


def test_names_of_the_object_benchmark_are_understood(tmp_path):
    calib = CALIB.replace("R_rect", "R0_rect:").replace("Tr_velo_cam", "Tr_velo_to_cam:")
    assert_close(
        camera(tmp_path, [oxts()], calib.replace("Tr_imu_velo", "Tr_imu_to_velo:")).camera_to_world[0], np.eye(4)
    )


def test_the_nearest_is_measured_on_the_ground(tmp_path):
    """A car at (6, 8) is 10 m away, so one at (0, 11) is not far enough behind it, though in depth it is."""
    beside = [label(k, 8, left=400.0, place=(6.0, 1.5, 8.0)) for k in range(3)]
    far = [label(k, 7, place=(0.0, 1.5, 13.0)) for k in range(3)]
    near = [label(k, 7, place=(0.0, 1.5, 11.0)) for k in range(3)]
    write(tmp_path / "a", far + beside)
    assert [(clip.clip_id, *clip.objects) for clip in read(tmp_path / "a")] == [("kitti-0000-car-8", "nearest car")]
    write(tmp_path / "b", near + beside)
    assert read(tmp_path / "b") == []


def test_poses_and_images_belong_to_the_frames_that_are_kept(tmp_path):
    """In frame 0 the car is hidden. The camera is k squared metres ahead in frame k."""
    labels = [label(k, 7, occluded=2 if k == 0 else 0) for k in range(4)]
    write(tmp_path, labels, poses=[oxts(longitude=k**2 / DEGREE_METRES) for k in range(4)], num=4)
    (clip,) = read(tmp_path)
    assert_close(clip.camera.camera_to_world[:, 2, 3], [1, 4, 9], rtol=1e-5)
    assert_close(clip.pts_seconds, [0.1, 0.2, 0.3])
    assert levels(read_frames(clip, [0, 1, 2])) == [1, 2, 3]


def test_a_van_can_be_nearer_than_the_nearest_car(tmp_path):
    write(tmp_path, [*LABELS, *(label(k, 8, kind="Van", place=(0.0, 1.5, 5.0)) for k in range(3))])
    assert read(tmp_path) == []


def test_people_and_cars_are_distinguished(tmp_path):
    people = [label(k, 8, kind="Pedestrian", place=(0.0, 1.5, 10.0)) for k in range(3)]
    write(tmp_path, LABELS + people)
    assert [list(clip.objects) for clip in read(tmp_path)] == [["car"], ["person"]]
    assert [list(clip.objects) for clip in read(tmp_path, classes=["Pedestrian"])] == [["person"]]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"truncated": 1}, {"max_truncated": 1}),
        ({"occluded": 2}, {"max_occluded": 2}),
        ({"height": 20.0}, {"min_height_pixels": 20}),
    ],
)
def test_badly_seen_objects_are_left_out(tmp_path, changes, setting):
    write(tmp_path, [label(k, 7, **changes) for k in range(3)])
    assert read(tmp_path) == []
    assert len(read(tmp_path, **setting)) == 1


def test_without_poses_distances_and_masks_are_asked_about(tmp_path, caplog):
    base = write(tmp_path, poses=[])
    (base / "calib" / "0000.txt").unlink()  # nothing is left to calibrate
    (clip,) = read(tmp_path)
    assert clip.camera is None
    assert ObjectHorizontal().label(clip, 0, 2, "car") is None
    assert CameraYaw().label(clip, 0, 2, "") is None
    assert ObjectDepth().label(clip, 0, 2, "car").value == "receding"
    assert MaskFrame().judge(clip, np.array([0, 2]))["car"].codes.tolist() == [[0, 1], [1, 0]]
    assert "1 of 1 sequences have no file in oxts" in caplog.text
    assert "0000" in caplog.text


def test_no_camera_notice_with_poses(tmp_path, caplog):
    write(tmp_path)
    assert not read(tmp_path)[0].camera_moves
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("changes", "message", "reason"),
    [
        (
            {"labels": ["0 7 Car 0 0"]},
            r"0000\.txt: line 1, its class left out, must hold 16 numbers",
            "malformed",
        ),
        ({"labels": [label(0, 7).replace("-1.5", "nan")]}, "line 1, .* holds NaN", "not finite"),
        ({"labels": [label(3, 7)]}, "has frame 3, expected a whole number from 0 to 2", "malformed"),
        ({"labels": [label(0, -1)]}, "has track -1", "malformed"),
        ({"labels": [label(0, 7), label(0, 7)]}, "track 7 has two boxes in frame 0", "duplicate id"),
        ({"labels": [label(0, 7, height=0.0)]}, "the box of row 1 has no width or no height", "zero length"),
        ({"labels": [label(0, 7, left=1e8)]}, "the box of row 1 reaches beyond", "too large"),
        ({"num": 2}, "3 rows in oxts but 2 images", "missing media"),
        ({"num": 0}, "holds no image", "missing media"),
        ({"poses": [oxts()[:-4]] * 3}, r"oxts/0000\.txt: line 1 must hold 30 numbers", "malformed"),
        ({"poses": [oxts(), oxts(yaw=float("nan")), oxts()]}, "line 2 holds NaN", "not finite"),
        ({"poses": [oxts(latitude=95)] * 3}, "a latitude lies beyond the poles", "pose"),
        ({"calib": CALIB.replace("Tr_velo_cam 0", "Tr_velo_cam")}, "Tr_velo_cam must hold 12 numbers", "malformed"),
        ({"calib": CALIB.replace("R_rect 1", "R_rect nan")}, "R_rect holds NaN", "not finite"),
        ({"calib": CALIB.replace("R_rect 1", "R_rect 2")}, "are together no rigid motion", "pose"),
        ({"calib": CALIB.replace("Tr_imu_velo 1", "Tr_imu_velo -1")}, "are together no rigid motion", "pose"),
        ({"calib": CALIB.replace("P2: 700", "P2: 0")}, "P2 is no projection", "pose"),
        ({"calib": "P2: 1\n"}, "P2 must hold 12", "malformed"),
    ],
)
def test_malformed_sequences_are_named(tmp_path, changes, message, reason):
    write(tmp_path, **changes)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert "0000" in str(caught.value)
    assert caught.value.reason == reason


def test_missing_files_are_named(tmp_path):
    base = write(tmp_path)
    (base / "calib" / "0000.txt").unlink()
    with pytest.raises(AnnotationError, match=r"calib/0000\.txt: cannot"):
        read(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match=r"no label_02/\*\.txt found"):
        read(tmp_path / "empty")


def test_images_stay_inside_the_root(tmp_path):
    base = write(tmp_path)
    (base / "image_02").rename(tmp_path / "elsewhere")
    (base / "image_02").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AnnotationError, match="leads outside") as caught:
        read(base)
    assert caught.value.reason == "outside root"


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="there is no class 'Dog'"):
        KITTITrackingReader(classes=["Dog"])
    with pytest.raises(ConfigError, match="choose at least 1"):
        KITTITrackingReader(min_distance_ratio=0.5)
