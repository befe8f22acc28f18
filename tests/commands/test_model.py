"""``remot model blank``: the sizes and the vocabulary that were asked for."""

import io
import json
from contextlib import redirect_stdout

import pytest
import yaml
from transformers import AutoProcessor

from remot.cli import main

#: Asks in words that no question about the embedded clips has by default.
FORWARD = {
    "data": {
        "tasks": [
            {
                "class_path": "MotionContrast",
                "init_args": {
                    "experts": [
                        {"class_path": "remot.data.experts.AgentTurn"},
                        {"class_path": "remot.data.experts.AgentAdvance"},
                    ]
                },
            }
        ]
    }
}


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """A model of other sizes than remot-tiny's, whose vocabulary is that of a player's turns and ways."""
    folder = tmp_path_factory.mktemp("blank")
    config = folder / "forward.yaml"
    config.write_text(yaml.safe_dump(FORWARD))
    words = ["model", "blank", "--out", str(folder / "model"), "--config", str(config), "--root", "embedded/bench"]
    shown = io.StringIO()
    with redirect_stdout(shown):
        main([*words, "--num_texts", "40", "--image_pixels", "96", "--hidden_size", "64"])
    assert f"written to {folder / 'model'}" in shown.getvalue()
    return folder / "model"


def test_the_sizes_are_those_asked_for(blank):
    config = json.loads((blank / "config.json").read_text())
    assert config["text_config"]["hidden_size"] == 64
    assert config["vision_config"]["num_position_embeddings"] == (96 // 16) ** 2
    processor = AutoProcessor.from_pretrained(blank)
    assert processor.image_processor.size["longest_edge"] == 96**2


def test_the_vocabulary_is_that_of_the_configuration(blank):
    """A word of the questions is one token, one of other questions is several."""
    tokenizer = AutoProcessor.from_pretrained(blank).tokenizer
    assert len(tokenizer.encode(" forward")) == 1
    assert len(tokenizer.encode(" gripper")) > 1
