"""Whole sequences of MOT and KITTI, hand-made in the real layouts: all persons in one clip."""

import numpy as np
import pytest

from remot.data.annotations import KITTISceneReader, KITTITrackingReader, MOTSceneReader
from remot.data.annotations.objects.tracked import track_names
from remot.data.experts.visibility import MIN_SIZE_PIXELS
from remot.data.tasks import Displacement, MotionDirection, TimeInView, TrackCounting
from remot.data.tasks.shared.places import clearly_visible
from remot.data.tasks.tracks.scene import TrackScene
from remot.errors import AnnotationError
from tests.data.annotations.images import write_images
from tests.helpers import assert_close

INI = "[Sequence]\nname=any\nimDir=img1\nframeRate=25\nseqLength=3\nimWidth=640\nimHeight=480\nimExt=.jpg\n"
#: The IMU's axes, x forward, y left, z up, to the camera's.
FORWARD_LEFT_UP = "0 -1 0 0 0 0 -1 0 1 0 0 0"
CALIB = f"""P2: 700 0 320 0 0 700 240 0 0 0 1 0
R_rect 1 0 0 0 1 0 0 0 1
Tr_velo_cam {FORWARD_LEFT_UP}
Tr_imu_velo 1 0 0 0 0 1 0 0 0 0 1 0
"""


def mot15(frame, track, left, top):
    return f"{frame},{track},{left},{top},50,200,1,-1,-1,-1"


def mot17(frame, track, left, top, kind=1, visible=1.0):
    return f"{frame},{track},{left},{top},50,200,1,{kind},{visible}"


def write_mot(root, rows):
    folder = root / "TUD-Campus"
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    (folder / "seqinfo.ini").write_text(INI)
    write_images(folder / "img1", [f"{k:06d}.jpg" for k in range(1, 4)], (640, 480))


def label(frame, track, kind="Car", place=(1.0, 1.5, 10.0), occluded=0, truncated=0):
    words = (frame, track, kind, truncated, occluded, -1.5, 100.0, 100.0, 160.0, 150.0, 1.4, 1.6, 4.0, *place, 0.1)
    return " ".join(map(str, words))


def oxts(latitude=0.0, yaw=0.0):
    return " ".join(map(str, [latitude, 0.0, 0.0, 0.0, 0.0, yaw, *[0.0] * 24]))


#: An unlabelled region, and a car that drives away.
LABELS = ["0 -1 DontCare -1 -1 -10 1 2 3 4 -1000 -1000 -1000 -10 -1 -1 -1"]
LABELS += [label(k, 7, place=(1.0, 1.5, 10.0 + k)) for k in range(3)]


def write_kitti(root, labels=LABELS, poses=None, calib=CALIB):
    base = root / "training"
    texts = {"label_02": labels, "calib": [calib], "oxts": [oxts()] * 3 if poses is None else poses}
    for folder, lines in texts.items():
        (base / folder).mkdir(parents=True)
        if lines:
            (base / folder / "0000.txt").write_text("\n".join(lines) + "\n")
    write_images(base / "image_02" / "0000", [f"{k:06d}.png" for k in range(3)])


#: Track 9 is there from the first frame to the third, track 4 in the second only.
TWO = [mot15(1, 9, 1, 1), mot15(2, 9, 11, 1), mot15(2, 4, 301, 1), mot15(3, 9, 21, 1)]


def mot_clip(root, rows, **settings):
    write_mot(root, rows)
    (clip,) = MOTSceneReader(**settings).read(root)
    return clip


def kitti_clip(root, **settings):
    write_kitti(root, **settings)
    (clip,) = KITTISceneReader().read(root)
    return clip


def test_all_persons_of_a_mot_sequence(tmp_path):
    clip = mot_clip(tmp_path, TWO)
    assert (clip.clip_id, clip.num_frames, clip.complete_kinds) == ("TUD-Campus", 3, ("person",))
    assert_close(clip.objects["person 1"].boxes_xyxy[:, 0], [0, 10, 20])
    seen = np.isfinite(clip.objects["person 2"].boxes_xyxy[:, 0])
    assert seen.tolist() == [False, True, False]
    assert TrackCounting().serves(clip)
    assert TimeInView().serves(clip)


def test_unevaluated_people_rule_out_counting(tmp_path):
    rows = [mot17(1, 1, 1, 1), mot17(2, 1, 1, 1), mot17(3, 1, 1, 1, visible=0.1), mot17(1, 2, 300, 1, kind=7)]
    clip = mot_clip(tmp_path, rows)
    assert list(clip.objects) == ["person 1"]
    assert clip.complete_kinds == ()
    assert np.isfinite(clip.objects["person 1"].boxes_xyxy[:, 0]).tolist() == [True, True, False]


def test_two_boxes_of_one_track_in_a_frame_are_refused(tmp_path):
    write_mot(tmp_path, [mot15(1, 1, 1, 1), mot15(1, 1, 9, 1)])
    with pytest.raises(AnnotationError, match="two rows in one frame"):
        list(MOTSceneReader().read(tmp_path))


def test_places_of_a_kitti_sequence(tmp_path):
    """The bottom is at y 1.5, 1.4 m below the top: the middle is at 0.8; P2 shifts by 35 / 700 m to the right."""
    calib = CALIB.replace("P2: 700 0 320 0", "P2: 700 0 320 35")
    clip = kitti_clip(tmp_path, labels=[*LABELS, label(0, 8, kind="Pedestrian", place=(-2.0, 1.5, 8.0))], calib=calib)
    assert set(clip.objects) == {"car 1", "person 1"}
    assert_close(clip.objects["car 1"].centres_metres, [[1.05, 0.8, 10], [1.05, 0.8, 11], [1.05, 0.8, 12]])
    assert_close(clip.objects["car 1"].size_metres, [1.4, 1.6, 4.0])
    assert np.isnan(clip.objects["person 1"].centres_metres[1:]).all()
    assert (clip.complete_kinds, clip.camera_moves) == ((), False)
    assert MotionDirection().serves(clip)


def test_a_kitti_sequence_without_unlabelled_regions_and_motion(tmp_path):
    clip = kitti_clip(tmp_path, labels=LABELS[1:], poses=[])
    assert (clip.complete_kinds, clip.camera_moves, clip.camera) == (("car",), True, None)
    assert not MotionDirection().serves(clip)


def test_a_kitti_car_driven_after_goes_away(tmp_path):
    """The camera goes north by 2 m a frame, the car gains a metre a frame on it: 6 m away after two frames."""
    north = 2 / 111_319.490793
    clip = kitti_clip(tmp_path, poses=[oxts(latitude=k * north, yaw=np.pi / 2) for k in range(3)])
    plan = MotionDirection(num_graphs=0).plan(clip, np.random.default_rng(0))
    assert plan.verdict == "away from the camera"
    assert Displacement().plan(clip, np.random.default_rng(0)).answer == "6.0"


def test_numbers_count_the_tracks_of_a_noun():
    found = track_names(["car", "van", "", "car", "car"], np.array([7, 7, 1, 3, 7]))
    assert {name: rows.tolist() for name, rows in found.items()} == {"car 1": [0, 4], "van 1": [1], "car 2": [3]}


def test_what_is_largely_hidden_is_in_view_but_not_asked_about(tmp_path):
    """Frames 0 to 2 of the car: clear, largely occluded, largely cut off; partly (1) counts as clear."""
    labels = [label(0, 7, occluded=1, truncated=1), label(1, 7, occluded=2), label(2, 7, truncated=2)]
    clip = kitti_clip(tmp_path, labels=labels)
    assert clip.objects["car 1"].hidden.tolist() == [False, True, True]
    assert np.isfinite(clip.objects["car 1"].boxes_xyxy).all()
    scene = TrackScene(clip, (0, 1, 2), MIN_SIZE_PIXELS)
    assert (scene.shown("car 1").tolist(), scene.clear("car 1").tolist()) == ([True] * 3, [True, False, False])
    assert clearly_visible(clip, "car 1").tolist() == [True, False, False]


@pytest.mark.parametrize("reader", [KITTISceneReader, KITTITrackingReader])
def test_a_missing_kitti_image_shifts_no_label(tmp_path, reader):
    """Without oxts nothing else tells how many frames there are."""
    write_kitti(tmp_path, labels=LABELS[:3], poses=[])
    images = tmp_path / "training" / "image_02" / "0000"
    write_images(images, [f"{k:06d}.png" for k in range(5)])
    (images / "000001.png").unlink()
    with pytest.raises(AnnotationError, match=r"none between 000000\.png and 000002\.png") as caught:
        list(reader().read(tmp_path))
    assert caught.value.reason == "missing media"
