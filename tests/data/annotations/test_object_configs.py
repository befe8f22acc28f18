"""The data sections for object data sets are what their reader and experts accept."""

from pathlib import Path

import pytest

from remot.commands.audit import read_data
from remot.data import annotations

CONFIGS = Path(__file__).parents[3] / "configs" / "data"
READERS = {
    "mot": annotations.MOTReader,
    "otb": annotations.OTBReader,
    "got10k": annotations.GOT10kReader,
    "kitti_tracking": annotations.KITTITrackingReader,
    "layout": annotations.LayoutReader,
    "charades_sta": annotations.CharadesSTAReader,
}
every_source = pytest.mark.parametrize("name", READERS)


@every_source
def test_sections_parse(name, tmp_path):
    data = read_data(CONFIGS / f"{name}.yaml", str(tmp_path))
    assert type(data.reader) is READERS[name]
    assert (data.root, data.seed) == (tmp_path, 0)


def test_kitti_asks_about_distances(tmp_path):
    from remot.data.experts import CameraYaw, ObjectDepth, ObjectHorizontal

    data = read_data(CONFIGS / "kitti_tracking.yaml", str(tmp_path))
    assert [type(expert) for expert in data.sampler.experts] == [ObjectDepth, ObjectHorizontal, CameraYaw]


@every_source
def test_headers_say_how_to_launch(name):
    header = (CONFIGS / f"{name}.yaml").read_text().split("\nseed_everything")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    assert f"remot data build --config configs/data/{name}.yaml --root DIR --out OUT" in header
    assert "Below DIR:" in header
