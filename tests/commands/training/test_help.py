"""Help of the training commands: one screen at once, and the keys of a section."""

import subprocess
import sys

import pytest

from remot.cli import main
from remot.commands.training.help import SECTIONS, options_of

TEXT = """\
usage: remot fit [--data.batch_size N]

Prompts:
  --data CONFIG         Path to a file.
  --data.batch_size N   Prompts in a step
                        of one process.

Module:
  --model.seed SEED     Noise.
  --database X          Another section.
"""


@pytest.mark.parametrize("command", ["fit", "test"])
def test_help_is_a_screen_without_torch(command):
    code = "import sys; from remot.cli import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    words = [sys.executable, "-c", code, command, "--help"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert len(printed.splitlines()) <= 30
    assert all(f"\n  {name} " in printed for name in SECTIONS)
    assert f"remot {command} --help SECTION" in printed


def test_the_options_of_a_section():
    wanted = "--data CONFIG Path to a file. --data.batch_size N Prompts in a step of one process."
    assert " ".join(options_of("data", TEXT).split()) == wanted


def test_a_section_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--help", "dta"])
    assert ended.value.code == 2
    assert "'dta'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_sections_are_those_of_the_parser(capsys):
    for section in SECTIONS:
        main(["fit", "--help", section])
        assert f"--{section}." in capsys.readouterr().out


def test_the_settings_of_a_class_need_no_configuration(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--model.strategy.help", "AlternatingSFTGRPO"])
    assert stop.value.code == 0
    assert "--model.strategy.k_sft" in capsys.readouterr().out
