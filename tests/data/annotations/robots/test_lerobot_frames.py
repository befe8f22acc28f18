"""Which frame of a video belongs to which row of a LeRobot episode: each frame's colours spell its number."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from remot.data.annotations import LeRobotReader
from remot.data.media import read_frames, write_video
from remot.errors import AnnotationError
from tests.data.annotations.robots.test_lerobot import ARM, KEY, info, row_columns, write_json, write_lines, write_table
from tests.data.media.numbered import number_of, numbered_images

NTSC = 30000 / 1001


def numbers_shown(clip):
    """The number that each frame of a clip spells."""
    return [number_of(frame) for frame in read_frames(clip, range(clip.num_frames))]


def write_set(
    root,
    lengths,
    *,
    video_fps,
    fps=30.0,
    num_frames=None,
    starts=None,
    ends=None,
    metadata_lengths=None,
    gap_after=None,
):
    """Episodes one after another in one video and one Parquet file; times are rows / fps where not given."""
    edges = np.concatenate([[0, *np.cumsum(lengths)]])
    starts = edges[:-1] / fps if starts is None else np.asarray(starts, dtype=float)
    ends = edges[1:] / fps if ends is None else np.asarray(ends, dtype=float)
    settings = info("v3.0", names={"motors": ["x", "y", "z", "grip"]}) | {"fps": fps}
    write_json(root / "meta" / "info.json", settings)
    parts = [row_columns(e, [[0.0, 0.0, 0.0, 0.2]] * n) for e, n in enumerate(lengths)]
    rows = {name: [value for part in parts for value in list(pa.array(part[name]).to_pylist())] for name in parts[0]}
    times = [k / fps + (0.5 if gap_after is not None and k > gap_after else 0) for n in lengths for k in range(n)]
    rows["timestamp"] = pa.array(times, pa.float32())
    write_table(root / "data" / "chunk-000" / "file-000.parquet", rows)
    zeros = [0] * len(lengths)
    episodes = {"episode_index": list(range(len(lengths))), "length": list(metadata_lengths or lengths)}
    for name in ("data", f"videos/{KEY}"):
        episodes |= {f"{name}/chunk_index": zeros, f"{name}/file_index": zeros}
    episodes |= {f"videos/{KEY}/from_timestamp": list(starts), f"videos/{KEY}/to_timestamp": list(ends)}
    write_table(root / "meta" / "episodes" / "chunk-000" / "file-000.parquet", episodes)
    video = root / "videos" / KEY / "chunk-000" / "file-000.mp4"
    video.parent.mkdir(parents=True)
    write_video(video, numbered_images(num_frames or sum(lengths)), video_fps)
    return edges


def read(root):
    return list(LeRobotReader({"arm": ARM}).read(root))


def require_exact(root, lengths, **settings):
    edges = write_set(root, lengths, **settings)
    clips = read(root)
    assert [numbers_shown(clip) for clip in clips] == [list(range(a, b)) for a, b in pairwise(edges)]


def test_rows_at_30_and_a_video_at_30000_over_1001(tmp_path, caplog):
    """After 700 frames the stated times are 0.7 of a frame ahead of the video's, so nearest times are one frame off."""
    require_exact(tmp_path, [10] * 70, video_fps=NTSC)
    assert "drift" in caplog.text
    assert KEY in caplog.text


@pytest.mark.parametrize("lengths", [[5] * 12, [3, 9, 4, 12, 7, 8, 5, 11]])
def test_drift_of_two_per_cent_moves_no_row(tmp_path, lengths):
    require_exact(tmp_path, lengths, video_fps=29.4)


def test_starts_that_grow_by_more_than_the_rows_of_each_episode(tmp_path):
    """0.6 of a frame for each episode: the last of ten starts 5.4 frames late."""
    lengths = [6, 4, 5, 7, 6, 5, 4, 6, 5, 4]
    starts = (np.cumsum([0, *lengths[:-1]]) + 0.6 * np.arange(10)) / 30
    require_exact(tmp_path, lengths, video_fps=30, starts=starts, ends=starts + np.array(lengths) / 30)


def test_an_end_may_be_the_time_of_the_last_frame(tmp_path):
    """Ends of published sets: 427 rows from 0 to 14.2 s at 30 a second, and the next start exact or at that end."""
    lengths = [4, 6, 3]
    require_exact(tmp_path / "exact", lengths, video_fps=30, ends=(np.cumsum(lengths) - 1) / 30)
    ends = np.cumsum(np.array(lengths) - 1) / 30
    require_exact(tmp_path / "chained", lengths, video_fps=30, starts=[0, *ends[:-1]], ends=ends)
    require_exact(tmp_path / "single", [427], video_fps=30, ends=[14.2])


def require_refused(root, *facts):
    with pytest.raises(AnnotationError) as caught:
        read(root)
    assert caught.value.reason == "unsynchronised"
    for fact in ("info.json", "file-000.mp4", *facts):
        assert fact in str(caught.value)


@pytest.mark.parametrize("num_frames", [14, 16])
def test_rows_that_do_not_add_up_to_the_video(tmp_path, num_frames):
    write_set(tmp_path, [4, 6, 5], video_fps=30, num_frames=num_frames)
    require_refused(tmp_path, "15 rows", "3 episodes", f"{num_frames} frames", KEY)


def test_every_episode_of_such_a_video_is_refused(tmp_path):
    write_set(tmp_path, [4, 6, 5], video_fps=30, num_frames=16)
    reader = LeRobotReader({"arm": ARM})
    for source in reader.sources(tmp_path):
        with pytest.raises(AnnotationError, match="16 frames"):
            reader.read_source(source, tmp_path)


def test_a_lost_frame_that_another_episode_makes_up_for(tmp_path):
    """Stated starts at 0, 3 and 10 frames, rows 4, 6 and 5: one frame is missing, then one is too many."""
    write_set(tmp_path, [4, 6, 5], video_fps=30, starts=[0, 3 / 30, 10 / 30], ends=[3 / 30, 10 / 30, 0.5])
    require_refused(tmp_path, "episode 1", "7.0 frames", "6 rows")


def test_a_lost_frame_that_the_last_episode_makes_up_for(tmp_path):
    """Stated starts at 0, 3 and 9 frames: the first episode lost a frame, the extra one lies after the last start."""
    write_set(tmp_path, [4, 6, 5], video_fps=30, starts=[0, 3 / 30, 9 / 30], ends=[3 / 30, 9 / 30, 0.5])
    require_refused(tmp_path, "episode 0", "3.0 frames", "4 rows")


def test_a_start_that_is_frames_away_from_the_rows_before_it(tmp_path):
    write_set(tmp_path, [4, 6, 5], video_fps=30, starts=[0, 4 / 30, 13 / 30], ends=[4 / 30, 13 / 30, 18 / 30])
    require_refused(tmp_path, "episode 1", "9.0 frames", "6 rows")


def test_a_first_start_with_frames_before_it(tmp_path):
    write_set(tmp_path, [4, 6], video_fps=30, starts=[0.1, 0.1 + 4 / 30], ends=[0.1 + 4 / 30, 0.1 + 10 / 30])
    require_refused(tmp_path, "episode 0", "0.100 s")


def test_lengths_of_other_episodes_are_held_against_their_rows(tmp_path):
    """Lengths 5 and 5 stand for 4 and 6 rows, so the third episode, right by itself, has no place to start from."""
    edges = [0, 4, 10, 15]
    starts, ends = np.array(edges[:-1]) / 30, np.array(edges[1:]) / 30
    write_set(tmp_path, [4, 6, 5], video_fps=30, starts=starts, ends=ends, metadata_lengths=[5, 5, 5])
    reader = LeRobotReader({"arm": ARM})
    *_, last = reader.sources(tmp_path)
    with pytest.raises(AnnotationError, match=r"episode 2: its video also shows episode [01], which has") as caught:
        reader.read_source(last, tmp_path)
    assert caught.value.reason == "unsynchronised"


def test_rows_that_pause_where_the_video_does_not(tmp_path):
    write_set(tmp_path, [8], video_fps=30, gap_after=4)
    require_refused(tmp_path, "episode 0", "rows 4 and 5", "0.533 s", "0.033 s")


def test_a_depth_map_is_no_colour_video(tmp_path):
    """The mark stands in the feature's info, under either of its names, or in the feature."""
    write_set(tmp_path, [4, 5], video_fps=30)
    for mark in ({"info": {"video.is_depth_map": True}}, {"info": {"is_depth_map": True}}, {"is_depth_map": True}):
        settings = info("v3.0", names=["x", "y", "z", "grip"]) | {"fps": 30}
        settings["features"][KEY] |= mark
        write_json(tmp_path / "meta" / "info.json", settings)
        with pytest.raises(AnnotationError, match="no video has files"):
            read(tmp_path)
        with pytest.raises(AnnotationError, match=f"{KEY}.*is a depth map"):
            list(LeRobotReader({"arm": ARM}, video_key=KEY).read(tmp_path))


def test_a_colour_camera_beside_a_depth_camera_needs_no_setting(tmp_path):
    write_set(tmp_path, [4, 5], video_fps=30)
    settings = info("v3.0", names=["x", "y", "z", "grip"]) | {"fps": 30}
    settings["features"]["observation.images.depth"] = {"dtype": "video", "info": {"video.is_depth_map": True}}
    settings["features"][KEY] |= {"info": {"video.is_depth_map": False}}
    write_json(tmp_path / "meta" / "info.json", settings)
    assert len(read(tmp_path)) == 2


def test_a_missing_video_names_the_searched_folder(tmp_path):
    write_set(tmp_path, [4, 5], video_fps=30)
    found = f"videos/{KEY}/chunk-000/file-000.mp4"
    (tmp_path / found).rename(tmp_path / "elsewhere.mp4")
    settings = info("v3.0", names=["x", "y", "z", "grip"]) | {"video_path": "media/{video_key}-{file_index:03d}.mp4"}
    write_json(tmp_path / "meta" / "info.json", settings)
    for video_key in (None, KEY):
        with pytest.raises(AnnotationError) as caught:
            list(LeRobotReader({"arm": ARM}, video_key=video_key).read(tmp_path))
        assert caught.value.reason == "missing media"
        for fact in (found, f"media/{KEY}-000.mp4", str(tmp_path)):
            assert fact in str(caught.value)


def test_a_v2_episode_of_one_video_keeps_step_with_it_too(tmp_path):
    columns = row_columns(0, [[0.0, 0.0, 0.0, 0.2]] * 6)
    columns["timestamp"] = pa.array([0.0, 0.1, 0.2, 0.5, 0.6, 0.7], pa.float32())
    write_json(tmp_path / "meta" / "info.json", info("v2.1"))
    write_lines(tmp_path / "meta" / "episodes.jsonl", [{"episode_index": 0, "length": 6}])
    write_table(tmp_path / "data" / "chunk-000" / "episode_000000.parquet", columns)
    video = tmp_path / "videos" / "chunk-000" / KEY / "episode_000000.mp4"
    video.parent.mkdir(parents=True)
    write_video(video, numbered_images(6), 10)
    with pytest.raises(AnnotationError, match=r"episode_000000\.mp4.*rows 2 and 3 are 0\.300 s apart") as caught:
        read(tmp_path)
    assert caught.value.reason == "unsynchronised"
