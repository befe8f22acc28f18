"""The files under ``configs/data`` for camera-pose sets name a reader that reads the layout they describe."""

import pytest
import yaml

from remot.commands.data.sources import read_data
from remot.data import annotations
from tests.data.annotations import layouts
from tests.data.annotations.layouts import shot_of
from tests.helpers import PROJECT

FOLDER = PROJECT / "configs" / "data"
#: The reader of each file, and a recording in its layout; RealEstate10K is built in tests/test_configs.py.
FRAGMENTS = {
    "re10k": (annotations.RealEstate10KReader, None),
    "tum": (annotations.TUMReader, layouts.write_tum),
    "euroc": (annotations.EuRoCReader, layouts.write_euroc),
    "seven_scenes": (annotations.SevenScenesReader, layouts.write_seven_scenes),
    "kitti_odometry": (annotations.KITTIOdometryReader, layouts.write_kitti),
    "scannet": (annotations.ScanNetReader, layouts.write_scannet),
    "colmap": (annotations.COLMAPReader, layouts.write_colmap_binary),
    "nerfstudio": (annotations.NerfstudioReader, layouts.write_nerfstudio),
    "nuscenes": (annotations.NuScenesReader, layouts.write_nuscenes),
}
every_fragment = pytest.mark.parametrize("name", FRAGMENTS)


@every_fragment
def test_header_states_layout_and_command(name):
    header = (FOLDER / f"{name}.yaml").read_text().split("\nseed_everything")[0].splitlines()
    assert all(line.startswith("#") for line in header)
    assert f"#   remot data build --config configs/data/{name}.yaml --root DIR --out OUT" in header
    assert any(line.startswith("#   DIR/") for line in header)


@every_fragment
def test_sections(name):
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert content.keys() == {"seed_everything", "root", "data"}
    assert (content["seed_everything"], content["root"]) == (0, None)
    assert content["data"].keys() == {"reader", "tasks", "val_fraction", "test_fraction"}


@every_fragment
def test_parses_into_its_reader(name, tmp_path):
    data = read_data(FOLDER / f"{name}.yaml", str(tmp_path))
    assert type(data.reader) is FRAGMENTS[name][0]
    assert 0 <= data.val_fraction <= data.test_fraction < 0.5
    assert {expert.attribute.unit for expert in data.tasks[0].sampler.experts} <= {"degrees", "metres"}


@pytest.mark.parametrize("name", sorted(set(FRAGMENTS) - {"re10k"}))
def test_asks_about_a_recording_in_its_layout(name, tmp_path):
    """Turns of 10 and 20 degrees; the one recording has no other scene to hold out."""
    FRAGMENTS[name][1](shot_of((0, 10, 20, 20.2, 10, 0, -10, 0)), tmp_path)
    data = read_data(FOLDER / f"{name}.yaml", str(tmp_path))
    data.val_fraction = data.test_fraction = 0.0
    data.setup()
    assert "camera_yaw" in data.mixed["train"].parts[0].index.balance.attributes
    assert data.prompts["train"][0].question.slots
