"""MOTChallenge files, hand-made in the real layouts, come out in the library's conventions."""

import numpy as np
import pytest

from remot.data.annotations import MOTReader, MOTSceneReader
from remot.data.experts import MaskFrame, ObjectHorizontal, ObjectVertical
from remot.data.media import read_frames, write_video
from remot.errors import AnnotationError, ConfigError
from tests.data.annotations.good_clips import good_clips
from tests.data.annotations.images import levels, write_images
from tests.helpers import assert_close

SIZE = (640, 480)
INI = "[Sequence]\nname=any\nimDir=img1\nframeRate=25\nseqLength={num}\nimWidth=640\nimHeight=480\nimExt=.jpg\n"


def mot15(frame, track, left, top, width=50, height=200, flag=1):
    return f"{frame},{track},{left},{top},{width},{height},{flag},-1,-1,-1"


def mot17(frame, track, left, top, width=50, height=200, flag=1, kind=1, visible=1.0):
    return f"{frame},{track},{left},{top},{width},{height},{flag},{kind},{visible}"


#: Track 4 walks 40 pixels to the right in each of three frames, 2 pixels up in the last.
WALK = [mot15(1, 4, 101, 201), mot15(2, 4, 141, 201), mot15(3, 4, 181, 199)]


def write(root, rows, name="TUD-Campus", num=3, images=True):
    folder = root / name
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    (folder / "seqinfo.ini").write_text(INI.format(num=num))
    if images:
        write_images(folder / "img1", [f"{k:06d}.jpg" for k in range(1, num + 1)], SIZE)
    return folder


def read(root, **settings):
    return list(MOTReader(**settings).read(root))


def test_pixels_and_frames_are_counted_from_zero(tmp_path):
    write(tmp_path, WALK)
    (clip,) = read(tmp_path)
    assert list(clip.objects) == ["person"]
    assert_close(clip.objects["person"].boxes_xyxy, [[100, 200, 150, 400], [140, 200, 190, 400], [180, 198, 230, 398]])
    assert_close(clip.pts_seconds, [0, 0.04, 0.08])
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("TUD-Campus-person-4", "TUD-Campus", "mot")
    assert clip.camera is None


def test_directions(tmp_path):
    write(tmp_path, WALK)
    (clip,) = read(tmp_path)
    assert ObjectHorizontal().label(clip, 0, 1, "person").value == "right"
    assert ObjectVertical(still=1, salient_min=2).label(clip, 0, 2, "person").value == "up"


def test_images_belong_to_the_frames_that_are_kept(tmp_path):
    """In frame 2 another is as high, so three of the four frames stay."""
    rows = [mot15(k, 4, 100 + k, 100) for k in (1, 2, 3, 4)]
    write(tmp_path, [*rows, mot15(2, 5, 300, 101)], num=4)
    (clip,) = read(tmp_path, linger_seconds=0)
    assert levels(read_frames(clip, [0, 1, 2])) == [0, 2, 3]
    assert_close(clip.pts_seconds, [0, 0.08, 0.12])
    assert list(clip.objects) == ["person"]  # the other is in none of them


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_a_video_in_the_place_of_images(tmp_path, suffix):
    folder = write(tmp_path, [*WALK[1:], mot15(4, 4, 200, 100)], num=4, images=False)
    grey = np.arange(4, dtype=np.uint8)[:, None, None, None] * 10
    write_video(folder / f"TUD-Campus.{suffix}", np.broadcast_to(grey, (4, 480, 640, 3)), 5, crf=1)
    (clip,) = good_clips(MOTReader(), tmp_path)
    assert_close(clip.pts_seconds, [0.04, 0.08, 0.12])
    assert_close(clip.media_pts_seconds, [0.2, 0.4, 0.6])  # the video's own rate is 5
    assert levels(read_frames(clip, [0, 1, 2])) == [1, 2, 3]


def test_flagged_people_are_not_asked_about_but_stand_in_the_way(tmp_path):
    seated = [mot17(k, 9, 300, 200, height=240, flag=0, kind=7) for k in (1, 2, 3)]
    walker = [mot17(k, 4, 100, 200) for k in (1, 2, 3)]
    write(tmp_path / "a", walker, "MOT17-02-DPM")
    assert [clip.clip_id for clip in read(tmp_path / "a")] == ["MOT17-02-DPM-person-4"]
    write(tmp_path / "b", walker + seated, "MOT17-02-DPM")
    assert [clip.clip_id for clip in read(tmp_path / "b")] == ["MOT17-02-DPM-leftmost-person-4"]


@pytest.mark.parametrize(("row", "name"), [(mot15, "TUD-Campus"), (mot17, "MOT16-02")])
def test_flagged_pedestrians_are_not_asked_about(tmp_path, row, name):
    write(tmp_path, [row(k, 4, 100, 200, flag=0) for k in (1, 2, 3)], name)
    assert read(tmp_path) == []


def test_hidden_people_are_not_asked_about(tmp_path):
    write(tmp_path, [mot17(k, 4, 100, 200, visible=0.4) for k in (1, 2, 3)], "MOT20-01")
    assert read(tmp_path) == []
    assert len(read(tmp_path, min_visibility=0.4)) == 1


def test_people_half_outside_the_image_are_hidden(tmp_path):
    """A box 50 wide that starts at pixel 621 of 640 (counted from 1): 20 of 50 columns are inside."""
    write(tmp_path, [mot15(k, 4, 621, 100) for k in (1, 2, 3)])
    assert read(tmp_path) == []
    assert len(read(tmp_path, min_visibility=0.4)) == 1


def test_small_people_are_not_asked_about(tmp_path):
    write(tmp_path, [mot15(k, 4, 100, 100, height=30) for k in (1, 2, 3)])
    assert read(tmp_path) == []
    assert len(read(tmp_path, min_height_pixels=30)) == 1


def test_cars_have_their_own_nearest(tmp_path):
    """The benchmark flags every car, which says nothing about how well it is seen."""
    rows = [mot17(k, 4, 100, 200) for k in (1, 2, 3)] + [mot17(k, 6, 300, 200, flag=0, kind=3) for k in (1, 2, 3)]
    write(tmp_path, rows, "MOT16-02")
    assert [list(clip.objects) for clip in read(tmp_path, classes=[1, 3])] == [["person"], ["car"]]
    assert len({clip.clip_id for clip in read(tmp_path, classes=[1, 3])}) == 2


def test_of_moving_cameras_only_masks_are_asked_about(tmp_path, caplog):
    write(tmp_path, WALK, "ETH-Bahnhof")
    (clip,) = read(tmp_path)
    assert clip.camera_moves
    assert ObjectHorizontal().label(clip, 0, 2, "person") is None
    assert MaskFrame().judge(clip, np.array([0, 2]))["person"].codes.tolist() == [[0, 1], [1, 0]]
    told = "1 of 1 sequences have a camera that is not known to stand still"
    assert told in caplog.text
    assert "static_camera: ETH-Bahnhof" in caplog.text
    for settings in ({"static_camera": ["ETH-Bahnhof"]}, {"assume_static": True}):
        (clip,) = read(tmp_path, **settings)
        assert ObjectHorizontal().label(clip, 0, 2, "person").value == "right"
    assert caplog.text.count(told) == 1


def test_own_names_replace_the_table(tmp_path):
    write(tmp_path, WALK)
    assert not read(tmp_path)[0].camera_moves
    assert read(tmp_path, static_camera=["another"])[0].camera_moves


def test_camera_notices_are_logged_once(tmp_path, caplog):
    write(tmp_path, WALK, "ETH-Bahnhof")
    reader = MOTReader()
    assert [len(reader.sources(tmp_path)) for _ in range(3)] == [1, 1, 1]
    assert caplog.text.count("not known to stand still") == 1


def test_persons_at_the_border_count_before_their_first_box(tmp_path):
    """25 frames a second. A large person at the left border has boxes from the 101st on, 4 seconds in: before, no one
    else is the nearest. One who appears in the middle then stands in the way for half a second, 12 frames."""
    small = [mot15(k, 4, 300, 100, 40, 100) for k in range(1, 121)]
    border = [mot15(k, 5, 20, 100, 100, 250) for k in range(101, 121)]
    middle = [mot15(k, 5, 300, 100, 100, 250) for k in range(101, 121)]
    for name, rows, last in (("border", border, None), ("middle", middle, 87)):
        write(tmp_path / name, [*small, *rows], num=120)
        found = {clip.clip_id: clip for clip in read(tmp_path / name)}
        frames = [round(25 * time) for time in getattr(found.get("TUD-Campus-person-4"), "pts_seconds", [])]
        assert frames == ([] if last is None else list(range(last + 1)))
        assert "TUD-Campus-person-5" in found


def test_ten_walkers_without_a_nearest_are_named_by_their_side(tmp_path, caplog):
    """All are as high; the outer ones stand apart by more than their width."""
    rows = [mot15(k, track, 10 + 60 * track + k, 100) for k in range(1, 5) for track in range(10)]
    write(tmp_path, rows, num=4)
    clips = read(tmp_path)
    assert [(clip.clip_id, *clip.objects) for clip in clips] == [
        ("TUD-Campus-leftmost-person-0", "leftmost person"),
        ("TUD-Campus-rightmost-person-9", "rightmost person"),
    ]
    assert_close(clips[1].objects["rightmost person"].boxes_xyxy[:, 0], [550, 551, 552, 553])
    crowd = [mot15(k, track, 10 + 10 * track, 100) for k in range(1, 5) for track in range(10)]
    write(tmp_path / "crowd", crowd, num=4)
    assert read(tmp_path / "crowd") == []
    assert "no person is clearly the nearest, leftmost or rightmost" in caplog.text


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv"])
def test_a_video_in_any_container(tmp_path, suffix):
    folder = write(tmp_path, WALK, images=False)
    write_video(folder / f"TUD-Campus.{suffix}", np.zeros((3, 480, 640, 3), dtype=np.uint8), 25)
    (clip,) = good_clips(MOTReader(), tmp_path)
    assert clip.media.name == f"TUD-Campus.{suffix}"


def test_renamed_folders_are_recognised(tmp_path):
    """The video keeps the name that the folder lost."""
    folder = write(tmp_path, WALK, "street_tud-campus_v2", images=False)
    write_video(folder / "TUD-Campus.mp4", np.zeros((3, 480, 640, 3), dtype=np.uint8), 25)
    (clip,) = read(tmp_path)
    assert (clip.clip_id, clip.scene_id, clip.camera_moves) == ("street_tud-campus_v2-person-4", "TUD-Campus", False)
    assert clip.media.name == "TUD-Campus.mp4"
    write(tmp_path / "b", WALK, "my MOT17-02-DPM")
    write(tmp_path / "b", WALK, "MOT16-020")
    assert [(clip.scene_id, clip.camera_moves) for clip in read(tmp_path / "b")] == [
        ("MOT16-020", True),
        ("MOT16/17-02", False),
    ]


def test_copies_of_mot17_are_read_once_and_share_the_scene_of_mot16(tmp_path):
    rows = [mot17(k, 4, 100, 200) for k in (1, 2, 3)]
    for name in ("MOT16-02", "MOT17-02-DPM", "MOT17-02-FRCNN", "MOT17-02-SDP", "MOT17-04-SDP"):
        write(tmp_path, rows, name)
    clips = read(tmp_path)
    assert [clip.clip_id for clip in clips] == [
        f"{name}-person-4" for name in ("MOT16-02", "MOT17-02-DPM", "MOT17-04-SDP")
    ]
    assert [clip.scene_id for clip in clips] == ["MOT16/17-02", "MOT16/17-02", "MOT16/17-04"]


def test_one_bad_sequence_can_be_skipped(tmp_path):
    write(tmp_path, WALK, "TUD-Campus")
    write(tmp_path, [*WALK, "4,5"], "TUD-Stadtmitte")
    with pytest.warns(UserWarning, match="1 bad clips are left out"):
        (clip,) = good_clips(MOTReader(), tmp_path, "skip")
    assert clip.scene_id == "TUD-Campus"


@pytest.mark.parametrize(
    ("rows", "message", "reason"),
    [
        ([], "holds no row of numbers", "zero length"),
        ([*WALK, "4,4,1"], "line 4 must hold 10 numbers, found '4,4,1'", "malformed"),
        ([*WALK, "", mot15(1, 5, 1, 1)], "line 4 must hold 10 numbers", "malformed"),
        ([*WALK, mot17(1, 5, 1, 1)], "line 4 must hold 10 numbers", "malformed"),
        ([WALK[0].replace("101", "x")], "line 1 must hold 9 or 10 numbers", "malformed"),
        ([WALK[0], mot15(2, 4, "nan", 5)], "line 2 holds NaN", "not finite"),
        ([WALK[0], mot15(2, 4, 5, 5, width=0)], "the box of row 2 has no width", "zero length"),
        ([WALK[0], mot15(2, 4, 5, 5, height=-3)], "the box of row 2 has no width or no height", "zero length"),
        ([mot15(1, 4, 1e7, 5)], "the box of row 1 reaches beyond 100000 pixels", "too large"),
        ([mot15(4, 4, 5, 5)], "row 1 has frame 4, expected a whole number from 1 to 3", "malformed"),
        ([mot15(0, 4, 5, 5)], "row 1 has frame 0", "malformed"),
        ([mot15(1.5, 4, 5, 5)], "row 1 has frame 1.5", "malformed"),
        ([WALK[0], WALK[0]], "track 4 has two boxes in frame 0", "duplicate id"),
    ],
)
def test_malformed_rows_are_named(tmp_path, rows, message, reason):
    write(tmp_path, rows)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert "gt.txt" in str(caught.value)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        ("", r"no INI file with a section \[Sequence\]"),
        ("[Sequence", r"no INI file with a section \[Sequence\]"),
        (INI.format(num=3).replace("frameRate=25", "frameRate=0"), "frameRate is '0', expected a number above 0"),
        (INI.format(num=3).replace("frameRate=25", "frameRate=nan"), "frameRate is 'nan'"),
        (INI.format(num="9" * 30), "seqLength is '9999"),
        (INI.format(num=3).replace("imWidth=640", ""), "imWidth is ''"),
        (INI.format(num=4), "4 frames but 3 images"),
    ],
)
def test_bad_sequence_files_are_named(tmp_path, ini, message):
    folder = write(tmp_path, WALK)
    (folder / "seqinfo.ini").write_text(ini)
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path)


def test_missing_files_are_named(tmp_path):
    folder = write(tmp_path, WALK, images=False)
    with pytest.raises(AnnotationError, match="media 'img1' does not exist"):
        read(tmp_path)
    (folder / "img1").mkdir()
    with pytest.raises(AnnotationError, match="'img1' holds no image"):
        read(tmp_path)
    (folder / "seqinfo.ini").unlink()
    with pytest.raises(AnnotationError, match=r"seqinfo\.ini: does not exist"):
        read(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match=r"no gt/gt\.txt found"):
        read(tmp_path / "empty")


def test_a_broken_video_is_named(tmp_path):
    folder = write(tmp_path, WALK, images=False)
    (folder / "TUD-Campus.mp4").write_bytes(b"torn")
    with pytest.raises(AnnotationError, match=r"video TUD-Campus\.mp4"):
        read(tmp_path)


def test_images_stay_inside_the_root(tmp_path):
    write_images(tmp_path / "elsewhere", ["000001.jpg", "000002.jpg", "000003.jpg"])
    folder = write(tmp_path / "root", WALK, images=False)
    (folder / "seqinfo.ini").write_text(INI.format(num=3).replace("img1", "../../elsewhere"))
    with pytest.raises(AnnotationError, match="leads outside") as caught:
        read(tmp_path / "root")
    assert caught.value.reason == "outside root"
    (folder / "seqinfo.ini").write_text(INI.format(num=3))
    (folder / "img1").mkdir()
    for k in (1, 2, 3):
        (folder / "img1" / f"{k:06d}.jpg").symlink_to(tmp_path / "elsewhere" / f"{k:06d}.jpg")
    with pytest.raises(AnnotationError, match=r"image '000001\.jpg' leads outside"):
        read(tmp_path / "root")


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="class 7 has no name"):
        MOTReader(classes=[1, 7])
    with pytest.raises(ConfigError, match=r"min_height_ratio is 0\.9"):
        MOTReader(min_height_ratio=0.9)
    with pytest.raises(ConfigError, match="linger_seconds 1000000"):
        MOTReader(linger_seconds=1_000_000)


@pytest.mark.parametrize("reader", [MOTReader, MOTSceneReader])
def test_images_of_another_size_than_the_boxes_are_refused(tmp_path, reader):
    """A copy of half the size: every box would lie elsewhere, many still inside the image."""
    folder = write(tmp_path, WALK)
    write_images(folder / "img1", [f"{k:06d}.jpg" for k in (1, 2, 3)], (320, 240))
    with pytest.raises(AnnotationError, match=r"TUD-Campus.*320x240 .* 640x480 .*seqinfo\.ini") as caught:
        list(reader().read(tmp_path))
    assert caught.value.reason == "unsynchronised"


@pytest.mark.parametrize("reader", [MOTReader, MOTSceneReader])
def test_a_missing_image_is_refused_or_left_out(tmp_path, reader, caplog):
    """Without 000002.jpg: frames 0, 2, 3 remain, each with its own image, box and time."""
    folder = write(tmp_path, [*WALK, mot15(4, 4, 221, 199)], num=4)
    (folder / "img1" / "000002.jpg").unlink()
    with pytest.raises(AnnotationError, match=r"3 images .*000001\.jpg and 000003\.jpg.* on_missing_image"):
        list(reader().read(tmp_path))
    (clip,) = reader(on_missing_image="skip").read(tmp_path)
    (track,) = clip.objects.values()
    assert_close(track.boxes_xyxy[:, 0], [100, 180, 220])
    assert_close(clip.pts_seconds, [0, 0.08, 0.12])
    assert [path.name for path in clip.media] == ["000001.jpg", "000003.jpg", "000004.jpg"]
    assert "1 frames without one are left out" in caplog.text
