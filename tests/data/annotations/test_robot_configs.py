"""The fragments for robots' data describe what they say."""

import pytest

from remot.commands.data.sources import read_data
from remot.data import annotations
from remot.data.annotations import LeRobotEffector, LeRobotReader
from remot.errors import ConfigError
from tests.helpers import PROJECT

FOLDER = PROJECT / "configs" / "data"
READERS = {
    "lerobot": annotations.LeRobotReader,
    "aloha": annotations.AlohaReader,
    "agibot": annotations.AgiBotReader,
    "bridge": annotations.BridgeReader,
    "droid": annotations.DroidReader,
}


@pytest.mark.parametrize("name", READERS)
def test_fragments_are_read(name, tmp_path):
    file = FOLDER / f"{name}.yaml"
    data = read_data(file, str(tmp_path))
    assert type(data.reader) is READERS[name]
    assert data.root == tmp_path
    assert data.tasks[0].sampler.experts
    assert f"remot data build --config configs/data/{name}.yaml --root DIR --out OUT" in file.read_text()


def with_the_example():
    """The fragment with the effectors that its comment shows in place of null."""
    text = (FOLDER / "lerobot.yaml").read_text()
    lines = text.partition("for example\n#\n")[2].partition("#\n# with")[0].splitlines()
    example = "\n".join(line.removeprefix("# ").removeprefix("#") for line in lines)
    assert "effectors: null" in text
    return text.replace("      effectors: null # those of a known robot", example)


def test_effectors_are_configured_in_yaml(tmp_path):
    file = tmp_path / "c.yaml"
    text = with_the_example()
    file.write_text(text.replace("opening_range: null", "opening_range: [0.1, 0.9]").replace("[gripper]", "[6, jaw]"))
    reader = read_data(file).reader
    assert isinstance(reader, LeRobotReader)
    assert reader.effectors["robot arm"] == LeRobotEffector(
        "observation.state", ["x", "y", "z"], "observation.state", [6, "jaw"], (0.1, 0.9), "?,-z,?"
    )


def test_a_misspelt_effector_is_refused(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(with_the_example().replace("position_columns", "positon_columns"))
    with pytest.raises(ConfigError, match="positon_columns"):
        read_data(file)
