"""LeRobot data sets, hand-made in the layouts of v2.0, v2.1 and v3.0."""

import io
import json
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from remot.data.annotations import LeRobotEffector, LeRobotReader
from remot.data.annotations.parsing import parquet as parquet_module
from remot.data.annotations.robots.lerobot_effectors import KNOWN_ROBOTS, effectors_of
from remot.data.annotations.robots.lerobot_folder import fill_template
from remot.data.media import read_frames, write_video
from remot.errors import AnnotationError, ConfigError
from tests.data.annotations.good_clips import good_clips
from tests.helpers import assert_close

FPS = 10
KEY = "observation.images.top"
#: x forward, y left, z up, gripper reading 0.2 (closed) to 0.6 (open)
STATES = [[0.0, 0.0, 0.0, 0.2], [0.1, 0.2, 0.3, 0.4], [0.2, 0.4, 0.6, 0.6]]
ARM = LeRobotEffector(
    positions="observation.state",
    position_columns=["x", "y", "z"],
    opening="observation.state",
    opening_columns=[3],
    opening_range=(0.2, 0.6),
    axes="-y,-z,x",
)
V2_DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
V2_VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


def image(level):
    return np.full((32, 48, 3), level, dtype=np.uint8)


def info(version, *, keys=(KEY,), names=(("x", "y", "z", "grip"),), **changes):
    features = {key: {"dtype": "video", "shape": [32, 48, 3]} for key in keys}
    features |= {"observation.state": {"dtype": "float32", "shape": [4], "names": names}}
    features |= {"timestamp": {"dtype": "float32", "shape": [1]}}
    v2 = {"data_path": V2_DATA, "video_path": V2_VIDEO, "chunks_size": 1000}
    return {"codebase_version": version, "fps": FPS, "features": features, **({} if "v3" in version else v2), **changes}


def write_json(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def write_lines(file, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_table(file, columns):
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), file)


def row_columns(episode, states=STATES, *, first=0.0, tasks=None):
    n = len(states)
    return {
        "observation.state": [[float(value) for value in row] for row in states],
        "timestamp": pa.array([first + k / FPS for k in range(n)], pa.float32()),
        "frame_index": list(range(n)),
        "episode_index": [episode] * n,
        "task_index": tasks or [0] * n,
    }


def write_v2(root, *, num_episodes=1, version="v2.1", settings=None, columns=None, num_images=3, folder="chunk-000"):
    """Episode e shows grey levels 100 e, 100 e + 30, 100 e + 60."""
    write_json(root / "meta" / "info.json", settings or info(version))
    episodes = [{"episode_index": e, "tasks": ["lift"], "length": 3} for e in range(num_episodes)]
    write_lines(root / "meta" / "episodes.jsonl", episodes)
    write_lines(root / "meta" / "tasks.jsonl", [{"task_index": 0, "task": "lift"}, {"task_index": 1, "task": "drop"}])
    for e in range(num_episodes):
        write_table(root / "data" / folder / f"episode_{e:06d}.parquet", columns or row_columns(e))
        video = root / "videos" / folder / KEY / f"episode_{e:06d}.mp4"
        video.parent.mkdir(parents=True, exist_ok=True)
        write_video(video, np.stack([image(100 * e + 30 * k) for k in range(num_images)]), FPS, crf=1)
    return root


#: Lengths of the episodes of the v3 data set; all lie in one Parquet file and one mp4.
V3_LENGTHS = (4, 2, 5)


def write_v3(root, *, changes=None, files=(0, 0, 0)):
    """Image k of the whole data set has grey level 20 k, and so has the state's x as k centimetres."""
    write_json(root / "meta" / "info.json", info("v3.0", names={"motors": ["x", "y", "z", "grip"]}))
    starts = np.concatenate([[0], np.cumsum(V3_LENGTHS)])
    rows = {}
    for e, n in enumerate(V3_LENGTHS):
        states = [[(starts[e] + k) / 100, 0.0, 0.0, 0.2] for k in range(n)]
        for name, values in row_columns(e, states, tasks=[e % 2] * n).items():
            rows[name] = [*rows.get(name, []), *list(pa.array(values).to_pylist())]
    rows["timestamp"] = pa.array(rows["timestamp"], pa.float32())
    write_table(root / "data" / "chunk-000" / "file-000.parquet", rows)
    episodes = {
        "episode_index": [0, 1, 2],
        "tasks": [["lift"], ["drop"], ["lift"]],
        "length": list(V3_LENGTHS),
        "dataset_from_index": [int(s) for s in starts[:-1]],
        "dataset_to_index": [int(s) for s in starts[1:]],
        "data/chunk_index": [0, 0, 0],
        "data/file_index": list(files),
        f"videos/{KEY}/chunk_index": [0, 0, 0],
        f"videos/{KEY}/file_index": [0, 0, 0],
        f"videos/{KEY}/from_timestamp": [float(s) / FPS for s in starts[:-1]],
        f"videos/{KEY}/to_timestamp": [float(s) / FPS for s in starts[1:]],
        **(changes or {}),
    }
    write_table(root / "meta" / "episodes" / "chunk-000" / "file-000.parquet", episodes)
    write_table(root / "meta" / "tasks.parquet", {"task_index": [0, 1], "__index_level_0__": ["lift", "drop"]})
    video = root / "videos" / KEY / "chunk-000" / "file-000.mp4"
    video.parent.mkdir(parents=True, exist_ok=True)
    write_video(video, np.stack([image(20 * k) for k in range(sum(V3_LENGTHS))]), FPS, crf=1)
    return root


def reader(**settings):
    return LeRobotReader(settings.pop("effectors", {"right arm": ARM}), **settings)


def read(root, **settings):
    return list(reader(**settings).read(root))


def levels(clip, step, indices=None):
    frames = read_frames(clip, range(clip.num_frames) if indices is None else indices)
    return [round(float(frame.float().mean()) / step) for frame in frames]


# -- v2 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v2.0", "v2.1"])
def test_positions_come_out_in_viewer_axes_and_openings_from_closed_to_open(tmp_path, version):
    """Left 0.4 and up 0.6 in the base are viewer x = -0.4 and y = -0.6; forward 0.2 is away 0.2."""
    (clip,) = read(write_v2(tmp_path, version=version))
    track = clip.effectors["right arm"]
    assert_close(track.positions, [[0, 0, 0], [-0.2, -0.3, 0.1], [-0.4, -0.6, 0.2]], atol=1e-7)
    assert_close(track.opening, [0, 0.5, 1], atol=1e-6)
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("episode_000000", "episode_000000", "lerobot")
    assert levels(clip, 30) == [0, 1, 2]


def test_a_first_timestamp_that_is_not_zero_still_means_the_first_image(tmp_path):
    (clip,) = read(write_v2(tmp_path, columns=row_columns(0, first=0.1)))
    assert_close(clip.pts_seconds, [0, 0.1, 0.2], atol=1e-6)
    assert levels(clip, 30) == [0, 1, 2]


def test_tasks_become_events(tmp_path):
    (clip,) = read(write_v2(tmp_path, columns=row_columns(0, tasks=[0, 1, 1])))
    told = [(event.text, round(event.start_seconds, 6), round(event.end_seconds, 6)) for event in clip.events]
    assert told == [("lift", 0.0, 0.1), ("drop", 0.1, 0.3)]


def test_an_episode_is_a_clip_and_a_data_set_below_the_root_names_it(tmp_path):
    write_v2(tmp_path / "kitchen", num_episodes=2)
    write_v2(tmp_path / "lab")
    names = [clip.clip_id for clip in read(tmp_path)]
    assert names == ["kitchen-episode_000000", "kitchen-episode_000001", "lab-episode_000000"]


def test_a_wrong_path_template_and_a_video_key_without_files_are_survived(tmp_path):
    """Both are found in a published data set; its chunks are named by episode and the first camera has no files."""
    wrong = {"data_path": V2_DATA.replace("episode_chunk", "episode_index"), "total_videos": 2}
    settings = info("v2.0", keys=("observation.images.other", KEY), **wrong)
    clips = read(write_v2(tmp_path, num_episodes=2, settings=settings))
    assert [levels(clip, 10) for clip in clips] == [[0, 3, 6], [10, 13, 16]]


def test_episodes_without_data_are_left_out_and_counted(tmp_path, caplog):
    write_v2(tmp_path, num_episodes=2)
    (tmp_path / "data" / "chunk-000" / "episode_000000.parquet").unlink()
    assert [clip.clip_id for clip in read(tmp_path)] == ["episode_000001"]
    assert "1 of 2 episodes have no data file" in caplog.text


def test_a_robot_without_positions_has_its_opening_only(tmp_path):
    effector = LeRobotEffector(opening="observation.state", opening_columns=["x", "grip"], opening_range=(0.2, 0.6))
    (clip,) = read(write_v2(tmp_path), effectors={"hand": effector})
    assert np.isnan(clip.effectors["hand"].positions).all()
    # x gives 0, 0, 0 (below closed) and grip 0, 0.5, 1: the fingers are averaged
    assert_close(clip.effectors["hand"].opening, [0, 0.25, 0.5], atol=1e-6)


def test_positions_in_millimetres(tmp_path):
    effector = LeRobotEffector(positions="observation.state", position_columns=[0, 1, 2], metres_per_unit=0.001)
    (clip,) = read(write_v2(tmp_path), effectors={"arm": effector})
    assert_close(clip.effectors["arm"].positions[2], [float("nan"), -0.0006, float("nan")], atol=1e-9)


def test_several_cameras_are_named(tmp_path):
    write_v2(tmp_path, settings=info("v2.1", keys=(KEY, "observation.images.wrist")))
    other = tmp_path / "videos" / "chunk-000" / "observation.images.wrist" / "episode_000000.mp4"
    other.parent.mkdir(parents=True)
    write_video(other, np.stack([image(200)] * 3), FPS, crf=1)
    with pytest.raises(AnnotationError, match=r"2 .*video_key .*top, .*wrist"):
        read(tmp_path)
    (clip,) = read(tmp_path, video_key="observation.images.wrist")
    assert levels(clip, 200) == [1, 1, 1]
    assert clip.camera_moves
    assert [read(tmp_path, video_key=KEY, **s)[0].camera_moves for s in ({}, {"camera_moves": False})] == [None, False]


def test_a_missing_camera_names_those_there_are(tmp_path):
    write_v2(tmp_path)
    with pytest.raises(AnnotationError, match=r"no video 'top', the videos are observation\.images\.top"):
        read(tmp_path, video_key="top")
    (tmp_path / "videos" / "chunk-000" / KEY / "episode_000000.mp4").unlink()
    with pytest.raises(AnnotationError, match="no video has files") as caught:
        read(tmp_path)
    assert caught.value.reason == "missing media"
    with pytest.raises(AnnotationError, match=r"episode 0 has no video observation\.images\.top"):
        read(tmp_path, video_key=KEY)


# -- v3 ------------------------------------------------------------------------------------------------------------


def test_v3_episodes_of_one_mp4_have_their_own_images_and_rows(tmp_path):
    """Episodes of 4, 2 and 5 frames show images 0-3, 4-5 and 6-10 of the mp4."""
    clips = read(write_v3(tmp_path))
    assert [levels(clip, 20) for clip in clips] == [[0, 1, 2, 3], [4, 5], [6, 7, 8, 9, 10]]
    for clip in clips:
        away = clip.effectors["right arm"].positions[:, 2]
        assert [round(100 * metres) for metres in away] == levels(clip, 20)
        assert clip.pts_seconds[0] == 0
    assert levels(clips[2], 20, [3, 0]) == [9, 6]
    assert [clip.events[0].text for clip in clips] == ["lift", "drop", "lift"]
    assert len(good_clips(reader(), tmp_path)) == 3


def test_v3_lengths_must_fit_the_rows_and_the_stretch_of_video(tmp_path):
    write_v3(tmp_path, changes={"length": [4, 3, 5]})
    with pytest.raises(AnnotationError, match=r"episode 1, .* 2 rows .* 3 in") as caught:
        read(tmp_path)
    assert caught.value.reason == "unsynchronised"
    write_v3(tmp_path, changes={f"videos/{KEY}/to_timestamp": [0.4, 0.7, 1.1]})
    with pytest.raises(AnnotationError, match=r"file-000\.mp4 .*episode 1 .* 3\.0 frames, but it has 2 rows") as caught:
        read(tmp_path)
    assert caught.value.reason == "unsynchronised"


def test_v3_rows_of_an_episode_that_is_not_in_its_file(tmp_path):
    write_v3(tmp_path, changes={"episode_index": [0, 1, 7]})
    with pytest.raises(AnnotationError, match=r"episode 7, .* 0 rows .* 5") as caught:
        read(tmp_path)
    assert caught.value.reason == "unsynchronised"
    lerobot, root = reader(), tmp_path.resolve()
    with pytest.raises(AnnotationError, match=r"file-000\.parquet: .*episode 7") as caught:
        lerobot.read_source(lerobot.sources(root)[-1], root)
    assert caught.value.reason == "zero length"


def test_v3_without_its_list_of_episodes(tmp_path):
    write_v3(tmp_path)
    (tmp_path / "meta" / "episodes" / "chunk-000" / "file-000.parquet").unlink()
    with pytest.raises(AnnotationError, match="meta/episodes holds no Parquet file"):
        read(tmp_path)


# -- poses beside the data -----------------------------------------------------------------------------------------


def poses(n=3):
    result = np.tile(np.eye(4), (n, 1, 1))
    result[:, :3, 3] = [[0.0, 0.0, 0.1 * k] for k in range(n)]
    return result


FK = LeRobotEffector(poses="T_right", axes="-y,-z,x")


def read_fk(root):
    return read(root, effectors={"right arm": FK}, poses_file="fk/{episode:06d}.npz")


def write_fk(root, **arrays):
    (root / "fk").mkdir()
    np.savez(root / "fk" / "000000.npz", **arrays)


def test_poses_of_forward_kinematics(tmp_path):
    write_fk(write_v2(tmp_path), T_right=poses())
    (clip,) = read_fk(tmp_path)
    assert_close(clip.effectors["right arm"].positions, [[0, 0, 0], [0, -0.1, 0], [0, -0.2, 0]])
    assert clip.effectors["right arm"].opening is None


def flipped():
    result = poses()
    result[1, 0, 0] = -1
    return result


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (2 * poses(), "pose"),
        (flipped(), "pose"),
        (poses() * np.nan, "not finite"),
        (poses(2), "unsynchronised"),
        (np.zeros((3, 2)), "shape"),
        (np.array([None, {}, 1]), "malformed"),
    ],
)
def test_bad_poses_are_named(tmp_path, array, reason):
    write_fk(write_v2(tmp_path), T_right=array)
    with pytest.raises(AnnotationError, match=r"000000\.npz: array T_right") as caught:
        read_fk(tmp_path)
    assert caught.value.reason == reason


def test_a_header_that_claims_more_than_there_is(tmp_path):
    write_v2(tmp_path)
    (tmp_path / "fk").mkdir()
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 4, 4)})
    with zipfile.ZipFile(tmp_path / "fk" / "000000.npz", "w") as archive:
        archive.writestr("T_right.npy", stream.getvalue())
    with pytest.raises(AnnotationError, match="as many as its header says"):
        read_fk(tmp_path)


def test_missing_poses_are_named(tmp_path):
    write_v2(tmp_path)
    with pytest.raises(AnnotationError, match=r"000000\.npz: .*missing"):
        read_fk(tmp_path)
    write_fk(tmp_path, T_left=poses())
    with pytest.raises(AnnotationError, match=r"array 'T_right' is missing, found T_left"):
        read_fk(tmp_path)
    with pytest.raises(AnnotationError, match="leads outside") as caught:
        read(tmp_path, effectors={"right arm": FK}, poses_file="../../{episode}.npz")
    assert caught.value.reason == "outside root"


# -- faults --------------------------------------------------------------------------------------------------------


def test_rows_and_images_must_be_equally_many(tmp_path):
    write_v2(tmp_path, num_images=4)
    with pytest.raises(AnnotationError, match=r"episode 0: 3 .* 4 .*000000\.mp4") as caught:
        read(tmp_path)
    assert caught.value.reason == "unsynchronised"


def test_a_broken_video_is_named(tmp_path):
    write_v2(tmp_path)
    (tmp_path / "videos" / "chunk-000" / KEY / "episode_000000.mp4").write_bytes(b"torn")
    with pytest.raises(AnnotationError, match=r"episode 0: .*video"):
        read(tmp_path)


def with_states(states):
    return row_columns(0, states)


@pytest.mark.parametrize(
    ("columns", "message", "reason"),
    [
        (with_states([[float("nan")] * 4, *STATES[1:]]), "positions hold NaN", "not finite"),
        (with_states([STATES[0][:3], *STATES[1:]]), "lists of 3 to 4", "shape"),
        (with_states(STATES) | {"timestamp": [0.0, 0.2, 0.1]}, "strictly increasing", "times"),
        (with_states(STATES) | {"timestamp": [0.0, float("nan"), 0.1]}, "strictly increasing", "times"),
        (with_states(STATES) | {"timestamp": ["a", "b", "c"]}, "'timestamp' must hold numbers", "malformed"),
        (with_states(STATES) | {"timestamp": [0.0, None, 0.2]}, "without gaps", "malformed"),
        (with_states(STATES) | {"frame_index": [0, 2, 1]}, "does not count 0, 1, 2", "times"),
        (with_states(STATES) | {"observation.state": [b"x", b"y", b"z"]}, "must hold numbers", "malformed"),
        (with_states(STATES) | {"observation.state": [[0.0] * 4, None, [0.0] * 4]}, "without a value", "malformed"),
        ({"timestamp": [0.0, 0.1, 0.2]}, r"column 'observation\.state' is missing", "malformed"),
        (with_states([]), "no row of episode 0", "zero length"),
    ],
)
def test_bad_rows_are_named(tmp_path, columns, message, reason):
    with pytest.raises(AnnotationError, match=message) as caught:
        read(write_v2(tmp_path, columns=columns))
    assert "episode" in str(caught.value)
    assert caught.value.reason == reason


def test_a_truncated_data_file_is_named(tmp_path):
    write_v2(tmp_path)
    file = tmp_path / "data" / "chunk-000" / "episode_000000.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(AnnotationError, match=r"episode_000000\.parquet: cannot be read as Parquet"):
        read(tmp_path)


@pytest.mark.parametrize("limit", ["MAX_ROWS", "MAX_VALUES", "MAX_BYTES"])
def test_absurd_sizes_are_refused_before_reading(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(parquet_module, limit, 2)
    with pytest.raises(AnnotationError, match="too many") as caught:
        read(write_v2(tmp_path))
    assert caught.value.reason == "too large"


@pytest.mark.parametrize(
    ("content", "message", "reason"),
    [
        ({"codebase_version": "v1.6"}, "codebase_version is 'v1.6'", "malformed"),
        ({"features": []}, "features: expected an object", "malformed"),
        ({"data_path": "../../{episode_index}.parquet"}, "leads outside", "outside root"),
        ({"data_path": "data/{episode_index.__class__}"}, "is no template", "malformed"),
        ({"data_path": "data/{episode_index:0999999999d}"}, "is no template", "malformed"),
        ({"data_path": "data/{user}"}, "asks for 'user'", "malformed"),
    ],
)
def test_bad_metadata_are_named(tmp_path, content, message, reason):
    settings = info("v2.1") | content
    with pytest.raises(AnnotationError, match=message) as caught:
        read(write_v2(tmp_path / "a" / "b", settings=settings))
    assert "info.json" in str(caught.value)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"episode_index": 0, "length": 3}\n{"episode_index": 0, "length": 3}', "episode 0 is listed twice"),
        ('{"episode_index": "0", "length": 3}', "line 1: episode_index must be a whole number"),
        ('{"episode_index": 0}', "line 1: length must be"),
        ("{", "line 1: not valid JSON"),
        ("[]", "line 1: expected an object"),
        ("", r"no meta/info\.json with episodes"),
    ],
)
def test_a_bad_list_of_episodes_is_named(tmp_path, line, message):
    write_v2(tmp_path)
    (tmp_path / "meta" / "episodes.jsonl").write_text(line)
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path)


def test_a_folder_without_data_set(tmp_path):
    with pytest.raises(AnnotationError, match=r"no meta/info\.json") as caught:
        read(tmp_path)
    assert caught.value.reason == "missing"


@pytest.mark.parametrize(
    ("effector", "message"),
    [
        (LeRobotEffector(positions="state"), r"no feature 'state', the features are .*observation\.state"),
        (LeRobotEffector(positions="observation.state"), "4 columns, set position_columns"),
        (LeRobotEffector(opening="observation.state", opening_columns=["jaw"]), r"no column 'jaw', it has 4: x, y, z"),
        (LeRobotEffector(opening="observation.state", opening_columns=[4]), "no column 4"),
        (LeRobotEffector(opening="observation.state", opening_columns=[-1]), "no column -1"),
    ],
)
def test_columns_that_are_not_there_are_named(tmp_path, effector, message):
    with pytest.raises(AnnotationError, match=message):
        read(write_v2(tmp_path), effectors={"arm": effector})


def test_settings_that_say_nothing_are_refused():
    with pytest.raises(ConfigError, match="effectors is empty"):
        LeRobotReader({})
    with pytest.raises(ConfigError, match="name the feature"):
        LeRobotReader({"arm": LeRobotEffector()})
    with pytest.raises(ConfigError, match="keep one"):
        LeRobotReader({"arm": LeRobotEffector(positions="a", poses="b")})
    with pytest.raises(ConfigError, match="mirrors"):
        LeRobotReader({"arm": LeRobotEffector(positions="a", axes="y,-z,x")})
    with pytest.raises(ConfigError, match="two numbers"):
        LeRobotReader({"arm": LeRobotEffector(opening="a", opening_range=(1, 1))})
    with pytest.raises(ConfigError, match="set poses_file"):
        LeRobotReader({"arm": FK})


def test_a_template_is_filled_like_format():
    fields = {"episode_chunk": 1, "episode_index": 12, "video_key": "k"}
    assert fill_template(None, V2_VIDEO, fields) == V2_VIDEO.format(**fields)


def test_clips_travel_to_other_processes(tmp_path):
    (clip,) = read(write_v2(tmp_path))
    assert levels(pickle.loads(pickle.dumps(clip)), 30) == [0, 1, 2]


def test_columns_of_a_known_robot_need_no_setting():
    """1 open to 0 closed for one of them, radians of bend for the other."""
    g1, gr1 = KNOWN_ROBOTS["Unitree_G1_Inspire"], KNOWN_ROBOTS["GR1ArmsOnly"]
    assert g1["left arm"].opening_columns[:2] == ["kLeftHandPinky", "kLeftHandRing"]
    assert (g1["right arm"].opening_range, g1["right arm"].positions) == (None, None)
    assert (gr1["right arm"].opening_columns, gr1["right arm"].opening_range) == ([29, 30, 31, 32], (1.5, 0.0))
    with pytest.raises(ConfigError, match=r"robot_type is 'so100'.*set data\.reader\.init_args\.effectors"):
        effectors_of("info.json", "so100")
    LeRobotReader()
