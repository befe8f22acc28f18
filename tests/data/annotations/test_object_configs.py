"""The data sections for object data sets are what their reader and experts accept."""

import pytest

from remot.commands.data.sources import read_data
from remot.data import annotations
from tests.helpers import PROJECT

CONFIGS = PROJECT / "configs" / "data"
READERS = {
    "mot": annotations.MOTReader,
    "otb": annotations.OTBReader,
    "got10k": annotations.GOT10kReader,
    "kitti_tracking": annotations.KITTITrackingReader,
    "mot_scenes": annotations.MOTSceneReader,
    "kitti_scenes": annotations.KITTISceneReader,
    "layout": annotations.LayoutReader,
    "sims_v": annotations.SIMSVReader,
    "charades_sta": annotations.CharadesSTAReader,
}
every_source = pytest.mark.parametrize("name", READERS)


@every_source
def test_sections_parse(name, tmp_path):
    data = read_data(CONFIGS / f"{name}.yaml", str(tmp_path))
    assert type(data.reader) is READERS[name]
    assert (data.root, data.options.seed) == (tmp_path, 0)


#: Sources of which triplets are built.
MOVING = ("mot", "otb", "got10k", "kitti_tracking")


@every_source
def test_headers_say_how_to_launch(name):
    header = (CONFIGS / f"{name}.yaml").read_text().split("\nseed_everything")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    build = f"remot data build --config configs/data/{name}.yaml --root DIR --out OUT"
    check = f"remot data validate --root DIR --reader remot.data.annotations.{READERS[name].__name__}"
    assert f"#   {build if name in MOVING else check}" in header.splitlines()
    assert "Below DIR:" in header
