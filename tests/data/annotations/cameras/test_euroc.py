"""EuRoC recordings: body to camera, nanoseconds, and what is refused."""

import numpy as np
import pytest

from remot.data.annotations import EuRoCReader
from tests.data.annotations.layouts import START_NS, refused, replace_in, shot_of, the_clip, write_euroc
from tests.helpers import assert_close

HALF = 0.7071067811865476


def test_camera_is_body_times_sensor(tmp_path):
    """By hand: the body stands at (1, 2, 3), turned a quarter about z, and carries the camera at its own (1, 0, 0),
    which is the world's (0, 1, 0); the camera's axes are the body's."""
    folder = write_euroc(shot_of(), tmp_path)
    sensor = folder / "cam0" / "sensor.yaml"
    begin, end = sensor.read_text().split("data: [")
    sensor.write_text(f"{begin}data: [1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]{end[end.index(']') + 1 :]}")
    rows = [f"{START_NS + k * 50_000_000},1,2,3,{HALF},0,0,{HALF}" for k in range(5)]
    (folder / "state_groundtruth_estimate0" / "data.csv").write_text("#timestamp\n" + "\n".join(rows))
    pose = the_clip(EuRoCReader(), tmp_path).camera.camera_to_world[0]
    assert_close(pose[:3, 3], [1, 3, 3])
    assert_close(pose[:3, 0], [0, 1, 0])


def test_names(tmp_path):
    write_euroc(shot_of(), tmp_path)
    clip = the_clip(EuRoCReader(), tmp_path)
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("MH_01_easy", "MH", "euroc")


@pytest.mark.parametrize(
    ("folder", "scene"), [("V1_02_medium", "V1"), ("zips/V2_01_easy", "V2"), ("our_hall", "our_hall")]
)
def test_scenes_are_places(tmp_path, folder, scene):
    write_euroc(shot_of(), tmp_path)
    (tmp_path / folder).parent.mkdir(exist_ok=True)
    (tmp_path / "MH_01_easy").rename(tmp_path / folder)
    assert the_clip(EuRoCReader(), tmp_path).scene_id == scene


def test_nanoseconds_are_exact(tmp_path):
    """A float of today's nanoseconds is exact to 256 only: 100 ns later would be the same time."""
    folder = write_euroc(shot_of(), tmp_path)
    for file in (folder / "cam0" / "data.csv", folder / "state_groundtruth_estimate0" / "data.csv"):
        replace_in(file, f"{START_NS + 100_000_000},", f"{START_NS + 100_000_100},")
    assert_close(the_clip(EuRoCReader(), tmp_path).pts_seconds, [0, 0.1000001, 0.2], rtol=1e-9, atol=1e-12)


def test_images_before_the_tracker_was_on_are_left_out(tmp_path):
    folder = write_euroc(shot_of((0, 20, 40)), tmp_path)
    truth = folder / "state_groundtruth_estimate0" / "data.csv"
    header, *rows = truth.read_text().splitlines()
    truth.write_text("\n".join([header, *(row for row in rows if int(row.split(",")[0]) > START_NS + 50_000_000)]))
    clip = the_clip(EuRoCReader(), tmp_path)
    assert [image.stem for image in clip.media] == [str(START_NS + k * 100_000_000) for k in (1, 2)]
    assert_close(clip.pts_seconds, [0, 0.1])


def test_opencv_header_of_the_sensor_file(tmp_path):
    folder = write_euroc(shot_of(), tmp_path)
    sensor = folder / "cam0" / "sensor.yaml"
    sensor.write_text("%YAML:1.0\n" + sensor.read_text())
    assert the_clip(EuRoCReader(), tmp_path).num_frames == 3


def test_without_intrinsics(tmp_path):
    folder = write_euroc(shot_of(), tmp_path)
    replace_in(folder / "cam0" / "sensor.yaml", "intrinsics", "lens")
    assert the_clip(EuRoCReader(), tmp_path).camera.intrinsics is None


SENSOR, LIST, TRUTH = "cam0/sensor.yaml", "cam0/data.csv", "state_groundtruth_estimate0/data.csv"


@pytest.mark.parametrize(
    ("file", "old", "new", "reason", "message"),
    [
        (SENSOR, "T_BS", "T_SB", "malformed", "T_BS: expected an object"),
        (SENSOR, "0.0, -1.0, 0.0, -0.02", "0.0, -2.0, 0.0, -0.02", "pose", "T_BS must be 16 numbers of a rigid motion"),
        (SENSOR, "0.0, -1.0, 0.0, -0.02,", "", "pose", "T_BS must be 16 numbers"),
        (SENSOR, "sensor_type: camera", "sensor_type: [", "malformed", "not valid YAML"),
        (SENSOR, "sensor_type: camera", "x: !!python/object/apply:os.getcwd []", "malformed", "not valid YAML"),
        (SENSOR, "[30.0,", "[-1,", "malformed", "intrinsics must be fu, fv, cu, cv"),
        (LIST, f"{START_NS},", "later,", "times", "line 2 must begin with a whole number of nanoseconds"),
        (LIST, f"{START_NS},", f"{START_NS + 10**9},", "times", "those of row 2 do not"),
        (LIST, f"{START_NS},", "", "malformed", "line 2 must hold a time and a file name"),
        (LIST, f",{START_NS}.png", ",1.png", "missing media", "media '1.png' does not exist"),
        (LIST, f",{START_NS}.png", ",../../../../../1.png", "outside root", "leads outside"),
        (TRUTH, f"{START_NS},", f"{START_NS}.5,", "times", "line 3 must begin with a whole number"),
        (TRUTH, "14037152", "24037152", "unsynchronised", "images lies within 0.05 s of two poses"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, file, old, new, reason, message):
    folder = write_euroc(shot_of(), tmp_path)
    replace_in(folder / file, old, new)
    found = refused(EuRoCReader(), tmp_path)
    assert found[0] == reason
    assert message in found[1]
    assert str(folder) in found[1]


@pytest.mark.parametrize(
    ("row", "reason", "message"),
    [
        ("0,0,0,0,0,0,0,0", "pose", "line 2 has no quaternion of length 1"),
        ("0,nan,0,0,1,0,0,0", "not finite", "line 2 holds NaN"),
        ("0,0,0,0,1,0,0", "malformed", "line 2 must hold 7 numbers"),
    ],
)
def test_malformed_poses_are_named(tmp_path, row, reason, message):
    truth = write_euroc(shot_of(), tmp_path) / TRUTH
    truth.write_text(f"#header\n{row}\n")
    found = refused(EuRoCReader(), tmp_path)
    assert found[0] == reason
    assert message in found[1]


@pytest.mark.parametrize("file", [SENSOR, LIST, TRUTH])
def test_missing_and_empty_files(tmp_path, file):
    folder = write_euroc(shot_of(), tmp_path)
    (folder / file).write_text("#\n")
    assert refused(EuRoCReader(), tmp_path)[0] in {"zero length", "malformed"}
    (folder / file).unlink()
    assert refused(EuRoCReader(), tmp_path)[0] in {"missing", "malformed"}


def test_the_other_camera(tmp_path):
    folder = write_euroc(shot_of(), tmp_path)
    assert refused(EuRoCReader("cam1"), tmp_path)[0] == "missing"
    (folder / "cam0").rename(folder / "cam1")
    assert the_clip(EuRoCReader("cam1"), tmp_path).num_frames == 3
    assert np.isfinite(the_clip(EuRoCReader("cam1"), tmp_path).camera.camera_to_world).all()
