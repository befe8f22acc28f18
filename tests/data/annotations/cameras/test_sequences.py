"""Long recordings cut into clips; names and order of what lies in folders."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from remot.data.annotations import TUMReader, cut
from remot.data.annotations.cameras.cutting import num_parts
from remot.data.annotations.cameras.sequences import PartSource, sequence_id
from remot.data.annotations.parsing.number_rows import number_table
from remot.data.clips.loading import read_each
from remot.data.media import read_frames
from remot.errors import AnnotationError, ConfigError
from remot.files import number_order
from remot.structures import AgentTrack, CameraTrack, Clip, EffectorTrack, Event, ImageStore, LayoutBox, ObjectTrack
from tests.data.annotations.layouts import shot_of, write_slambook
from tests.data.handmade import boxes, poses
from tests.helpers import assert_close


def recording(num_frames, **others):
    """A clip of frame k at time 5 + k in which everything else is k, too."""
    numbers = np.arange(num_frames, dtype=float)
    places = np.stack([numbers] * 3, axis=1)
    media = tuple(Path(f"{k}.png") for k in range(num_frames))
    masks = tuple(Path(f"{k}.mask.png") for k in range(num_frames))
    track = ObjectTrack(boxes(places[:, :2]), False, numbers, masks, 7, centres_metres=places + 1)
    given = {
        "camera": CameraTrack(poses(numbers), np.eye(3), is_metric=False),
        "effectors": {
            "arm": EffectorTrack(places, numbers / num_frames, "camera", numbers > 4),
            "stick": EffectorTrack(places),
        },
        "objects": {"ball": track, "wall": ObjectTrack(boxes(places[:, :2]), is_landmark=True)},
        "agent": AgentTrack(places[:, :2], numbers),
        "layout": (LayoutBox("chair", np.zeros(3), np.ones(3), np.eye(3), numbers / num_frames),),
    }
    return Clip("long", "scene", "test", media, 5 + numbers, **(given | others))


@pytest.mark.parametrize(
    ("frames", "most", "parts"), [(10, None, 1), (10, 10, 1), (11, 10, 2), (30, 10, 3), (1, 10, 1)]
)
def test_number_of_parts(frames, most, parts):
    assert num_parts(frames, most) == parts


def test_parts_are_consecutive_and_nearly_equal():
    """Ten frames in three parts: 3, 4 and 3, none of them lost or twice."""
    clips = [cut(recording(10), k, 3) for k in range(3)]
    assert [clip.clip_id for clip in clips] == ["long-0000", "long-0001", "long-0002"]
    assert {clip.scene_id for clip in clips} == {"scene"}
    assert [clip.num_frames for clip in clips] == [3, 4, 3]
    assert [path.stem for clip in clips for path in clip.media] == [str(k) for k in range(10)]


def test_every_track_is_cut():
    clip = cut(recording(10), 1, 3)
    middle = np.arange(3, 7)
    assert_close(clip.pts_seconds, [0, 1, 2, 3])
    assert_close(clip.camera.camera_to_world, poses(middle))
    assert (clip.camera.is_metric, clip.camera.intrinsics.tolist()) == (False, np.eye(3).tolist())
    assert_close(clip.effectors["arm"].positions[:, 0], middle)
    assert_close(clip.effectors["arm"].opening, middle / 10)
    assert clip.effectors["arm"].frame == "camera"
    assert clip.effectors["arm"].visible.tolist() == [False, False, True, True]
    assert clip.effectors["stick"].opening is None
    assert_close(clip.objects["ball"].boxes_xyxy[:, 0], middle - 8)
    assert_close(clip.objects["ball"].centres_metres[:, 2], middle + 1)
    assert_close(clip.objects["ball"].depths_metres, middle)
    assert [path.name for path in clip.objects["ball"].masks] == [f"{k}.mask.png" for k in middle]
    assert clip.objects["ball"].mask_value == 7
    assert clip.objects["wall"].is_landmark
    assert_close(clip.agent.positions_metres[:, 1], middle)
    assert_close(clip.agent.headings_degrees, middle)
    assert_close(clip.layout[0].image_shares, middle / 10)


def test_events_are_cut_to_the_part():
    """The middle part lasts from 8 to 11 s; of what lies across its borders the inside is kept."""
    events = (Event("before", 5, 8), Event("across", 6, 9), Event("inside", 9, 10), Event("after", 11, 12))
    clip = cut(recording(10, events=events), 1, 3)
    assert clip.events == (Event("across", 0, 1), Event("inside", 1, 2))


def test_a_video_is_shared_and_looked_up_at_its_own_times():
    clip = replace(recording(10, objects={}), media=Path("long.mp4"))
    part = cut(clip, 1, 3)
    assert part.media == Path("long.mp4")
    assert_close(part.pts_seconds, [0, 1, 2, 3])
    assert_close(part.frame_times_in_media, [8, 9, 10, 11])
    slow = replace(clip, media_pts_seconds=np.arange(10) * 2.0)
    assert_close(cut(slow, 1, 3).frame_times_in_media, [6, 8, 10, 12])


def test_without_images():
    bare = Clip("long", "scene", "test", None, np.arange(10.0))
    assert cut(bare, 2, 3).media is None
    assert cut(bare, 0, 1) is bare


class Archive(ImageStore):
    def read(self, frame_indices):
        raise NotImplementedError

    def check(self, num_frames):
        raise NotImplementedError

    def __str__(self):
        return "pictures.zip"


def test_what_cannot_be_cut_is_refused(tmp_path):
    bare = replace(recording(10), objects={})
    for media in (Archive(), tmp_path):
        with pytest.raises(AnnotationError, match="cannot be cut"):
            cut(replace(bare, media=media), 0, 2)
    masked = ObjectTrack(boxes([(k, k) for k in range(10)]), masks=tmp_path)
    with pytest.raises(AnnotationError, match=r"masks in .* cannot be cut"):
        cut(replace(bare, objects={"ball": masked}), 0, 2)


# -- readers -------------------------------------------------------------------------------------------------------


def clips_of(reader, root):
    """All clips; the first fault is raised."""
    found = [result for _, result in read_each(reader, root, decode=False)]
    for result in found:
        if isinstance(result, Exception):
            raise result
    return found


def test_long_recordings_are_cut_by_the_reader(tmp_path):
    write_slambook(shot_of(range(0, 50, 5)), tmp_path)
    clips = clips_of(TUMReader(fps=10, max_clip_frames=4), tmp_path)
    assert [clip.clip_id for clip in clips] == ["office-0000", "office-0001", "office-0002"]
    assert {clip.scene_id for clip in clips} == {"office"}
    whole = clips_of(TUMReader(fps=10), tmp_path)[0]
    joined = np.concatenate([clip.camera.camera_to_world for clip in clips])
    assert_close(joined, whole.camera.camera_to_world)
    grey = [int(image[0, 0, 0]) for clip in clips for image in read_frames(clip, range(clip.num_frames))]
    assert grey == [10 * k for k in range(10)]
    assert all(clip.pts_seconds[0] == 0 for clip in clips)


def test_short_recordings_keep_their_name(tmp_path):
    write_slambook(shot_of(range(4)), tmp_path)
    assert [clip.clip_id for clip in clips_of(TUMReader(max_clip_frames=4), tmp_path)] == ["office"]


def test_parts_in_any_order(tmp_path):
    """A source says which part it is; nothing depends on what was read before."""
    write_slambook(shot_of(range(10)), tmp_path)
    write_slambook(shot_of(range(8)), tmp_path / "more")
    sources = TUMReader(max_clip_frames=4).sources(tmp_path)
    reader = TUMReader(max_clip_frames=4)
    names = [reader.read_source(source, tmp_path.resolve()).clip_id for source in reversed(sources)]
    assert names[::-1] == ["more-office-0000", "more-office-0001", "office-0000", "office-0001", "office-0002"]
    assert str(sources[1]).endswith("pose.txt, part 1")


def test_a_bad_recording_is_reported_once_and_the_others_are_read(tmp_path):
    write_slambook(shot_of(range(10)), tmp_path)
    folder = write_slambook(shot_of(range(10)), tmp_path / "bad")
    (folder / "color" / "1.png").unlink()
    found = [result for _, result in read_each(TUMReader(max_clip_frames=4), tmp_path, decode=True)]
    assert sum(isinstance(result, AnnotationError) for result in found) == 1
    assert sum(isinstance(result, Clip) for result in found) == 3


def test_a_clip_that_does_not_check_is_named_with_its_file(tmp_path):
    folder = write_slambook(shot_of(range(4)), tmp_path)
    (folder / "groundtruth.txt").write_text("1 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 1\n" * 2)
    with pytest.raises(AnnotationError, match=r"groundtruth\.txt: .*increase"):
        clips_of(TUMReader(), tmp_path)


@pytest.mark.parametrize("most", [0, 3, -1])
def test_parts_too_short_for_a_question(most):
    with pytest.raises(ConfigError, match="max_clip_frames"):
        TUMReader(max_clip_frames=most)


def test_a_part_is_a_source_of_its_own():
    assert PartSource(Path("a"), "k", 0, 2) != PartSource(Path("a"), "k", 1, 2)


# -- folders -------------------------------------------------------------------------------------------------------


def test_number_order():
    names = ["10.png", "9.png", "a-2-b", "a-10-a", "1e3", "007", "x"]
    assert sorted(names, key=number_order) == ["1e3", "007", "9.png", "10.png", "a-2-b", "a-10-a", "x"]


@pytest.mark.parametrize(
    ("place", "name"),
    [(".", "set"), ("a/b", "a-b"), ("a b/ü", "a_b-_"), (".hidden", "hidden"), ("...", "sequence")],
)
def test_sequence_ids_are_file_names(tmp_path, place, name):
    root = tmp_path / "set"
    (root / place).mkdir(parents=True)
    assert sequence_id(root / place, root) == name


def test_tables_of_numbers(tmp_path):
    file = tmp_path / "table.txt"
    file.write_text("# header\n\n 1  2\n3\t4e1\n")
    assert_close(number_table(file, 2), [[1, 2], [3, 40]])
    with pytest.raises(AnnotationError, match="line 3 must hold 3 numbers, found '1 2'"):
        number_table(file, 3)
