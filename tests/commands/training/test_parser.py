"""The printed configuration is the one that was read, and what is left out is filled in."""

import os
import threading
from collections import Counter
from contextlib import suppress

import pytest
import yaml
from jsonargparse import ArgumentParser, get_loader
from jsonargparse._typehints import ActionTypeHint
from lightning.pytorch.cli import LightningArgumentParser

from remot.cli import main
from remot.commands.parsing.config_files import dump_settings
from remot.commands.training.parser import CheckedConfigFile, RemotParser
from remot.errors import ConfigError
from remot.rewards import Reward
from tests.helpers import PROJECT

QUICKSTART = str(PROJECT / "configs" / "quickstart.yaml")
#: Texts that YAML, or the parser's version of it, reads as numbers, truth values, dates or nothing when unquoted.
LIKE_OTHER_TYPES = ["5e3", "-1E+2", "1_000", "0x1f", "0o17", "017", "1:30", "1:30.5", ".5", ".inf", ".nan", "on", "yes"]
LIKE_OTHER_TYPES += [
    "true",
    "null",
    "~",
    "",
    "2026-11-29",
    "=",
    "<<",
    "a: b",
    "- a",
    "{a}",
    "two\nlines",
    " 5e3 ",
    "5e3x",
]


@pytest.mark.parametrize("text", LIKE_OTHER_TYPES)
def test_texts_stay_texts(text):
    """By the parser's own loader and by PyYAML's; a number stays a number."""
    written = dump_settings({"name": text, "list": [text, 5000.0, 1e-05], "nested": {text: 1}})
    wanted = {"name": text, "list": [text, 5000.0, 1e-05], "nested": {text: 1}}
    assert get_loader("yaml")(written) == yaml.safe_load(written) == wanted


def printed(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", QUICKSTART, *words, "--print_config"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_printed_configuration_can_be_read_again(tmp_path, capsys):
    """Names inside a class's settings, which the parser writes and reads once more before it prints them."""
    names = {"run_name": "5e3", "experiment_name": "1_000", "save_dir": "0x1f", "prefix": "null", "run_id": "1:30"}
    names |= {"artifact_location": "2026-11-29", "tracking_uri": "on"}
    settings = tmp_path / "names.yaml"
    settings.write_text(yaml.safe_dump({"root": "yes", "trainer": {"logger": {"init_args": names}}}, default_style='"'))
    first = printed(capsys, "--config", str(settings))
    read = yaml.safe_load(first)
    assert read["root"] == "yes"
    assert {name: read["trainer"]["logger"]["init_args"][name] for name in names} == names
    settings.write_text(first)
    assert printed(capsys, "--config", str(settings)) == first


def parsed_from_pipe(content):
    parser = ArgumentParser()
    parser.add_argument("--config", action=CheckedConfigFile)
    parser.add_argument("--trainer.max_steps", type=int)
    reader, writer = os.pipe()
    threading.Thread(target=feed, args=(writer, content), daemon=True).start()
    try:
        return parser.parse_args([f"--config=/dev/fd/{reader}"])
    finally:
        os.close(reader)


def feed(writer, content):
    with suppress(BrokenPipeError), os.fdopen(writer, "wb") as stream:
        stream.write(content)


def test_a_configuration_from_a_pipe_of_the_shell():
    assert parsed_from_pipe(b"trainer: {max_steps: 7}\n").trainer.max_steps == 7


@pytest.mark.parametrize(("content", "fact"), [(b"a: b\n" * 2**20, "1048576 bytes"), (b"", "no mapping")])
def test_a_pipe_without_an_end_or_a_content_is_refused(content, fact):
    with pytest.raises(ConfigError, match=rf"/dev/fd/\d+ .*{fact}"):
        parsed_from_pipe(content)


def test_a_pipe_that_stays_silent_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("remot.files.MAX_PIPE_SECONDS", 0.05)
    os.mkfifo(tmp_path / "pipe")
    parser = ArgumentParser()
    parser.add_argument("--config", action=CheckedConfigFile)
    with pytest.raises(ConfigError, match="pipe is no mapping"):
        parser.parse_args([f"--config={tmp_path / 'pipe'}"])


def test_what_classes_within_classes_leave_out_is_filled_in_once_and_as_jsonargparse_does(monkeypatch):
    """A reward within a reward: plain jsonargparse fills in the inner one at its own level and at the outer one."""
    inner = {"class_path": "remot.rewards.ExactAnswerReward"}
    outer = {"class_path": "remot.rewards.CognitiveMapReward", "init_args": {"reward": inner}}
    parsed, calls = {}, Counter()
    add = ActionTypeHint.add_sub_defaults
    for kind in (LightningArgumentParser, RemotParser):
        parser = kind(exit_on_error=False)
        parser.add_argument("--reward", type=Reward)

        def counted(*parts, kind=kind):
            calls[kind] += 1
            add(*parts)

        monkeypatch.setattr(ActionTypeHint, "add_sub_defaults", staticmethod(counted))
        parsed[kind] = parser.parse_object({"reward": outer}).as_dict()
    assert parsed[RemotParser] == parsed[LightningArgumentParser]
    assert parsed[RemotParser]["reward"]["init_args"]["reward"]["init_args"]["comparison"] == "letter"
    assert calls[RemotParser] < calls[LightningArgumentParser]
