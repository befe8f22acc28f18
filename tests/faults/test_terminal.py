"""Control characters of others reach no terminal, log, page or text in MLflow, and long names end nothing."""

import ast
import json
import subprocess
import sys
import unicodedata

import pytest
from rich.table import Table
from rich.text import Text

from remot.cli import main
from remot.data.clips.loading import read_each
from remot.errors import AnnotationError
from remot.terminal import console, printable, printable_html, write_err, write_out
from tests.data.handmade import camera_clip, write_folder
from tests.faults.table import row
from tests.test_architecture import FILES, PACKAGE

#: Escape sequences of seven and eight bits, overrides of the direction, separators that some programs end lines at.
HOSTILE = {
    "escape": "\x1b[2J\x1b]0;renamed\x07",
    "one byte": "\x9b2J\x9d0;renamed\x9c",
    "backspace": "good\b\b\b\bevil",
    "carriage return": "bad clip\rall is well",
    "bidi": "clip\u202egnp.exe\u2066",
    "separators": "a\u2028b\u2029c\x85d",
    "zero width": "a\u200bb\ufeffc",
    "nul": "a\0b",
}
ALL = "|".join(HOSTILE.values())


def controls(text):
    """Characters of a text that may not be there."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\t"}


@pytest.mark.parametrize("name", HOSTILE)
def test_printable(name):
    assert controls(printable(f"ä 図 {HOSTILE[name]}")) == set()
    assert printable("ä 図\n\tb") == "ä 図\n\tb"


def test_spaces_of_other_languages_stay():
    assert printable("10\xa0%\u3000図\u202f!") == "10\xa0%\u3000図\u202f!"


def test_every_character():
    text = "".join(map(chr, range(0x110000)))
    assert controls(printable(text)) == set()
    assert len(printable(text)) == len(text)


def test_what_is_written(capsys):
    write_out(ALL)
    write_err(ALL)
    console(width=500).print(ALL, Text(ALL), markup=False)
    table = Table(title=Text(ALL))
    table.add_column(Text(ALL))
    table.add_row(Text(ALL), ALL)
    console(stderr=True, width=2000).print(table)
    written = capsys.readouterr()
    assert controls(written.out + written.err) == set()
    assert "renamed" in written.out


def test_colours_of_our_own_remain(capsys):
    console(force_terminal=True, color_system="standard").print(Text("a\x1b[2J", style="red"))
    written = capsys.readouterr().out
    assert "\x1b[31m" in written
    assert "\x1b[2J" not in written


def test_warnings_logs_and_tracebacks():
    """In a process of its own, since the hooks are the process's."""
    lines = ["import logging, warnings", "from remot.terminal import guard_output", "guard_output()", f"text = {ALL!r}"]
    lines += ["warnings.warn(text)", "logging.basicConfig()", "logging.warning('%s', text)", "raise OSError(text)"]
    ended = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True)
    assert ended.returncode == 1
    assert ended.stderr.count(b"renamed") >= 3
    assert controls(ended.stderr.decode()) == set()


def test_pages():
    assert controls(printable_html(ALL)) == set()
    assert printable_html("<b>\ud800&") == "&lt;b&gt;�&amp;"


@pytest.fixture
def clips(tmp_path):
    """Good clips, and beside them bad ones whose names are hostile or too long for a file."""
    root = write_folder(tmp_path / "clips", [camera_clip([0, 9, 20], clip_id=f"good-{number}") for number in range(4)])
    good = json.loads((root / "good-0.json").read_text())
    for number, text in enumerate((*HOSTILE.values(), "n" * 300, "n" * 5000, "a/" * 3000)):
        media = good | {"media": f"{text}.mp4", "clip_id": f"{text}{number}"}
        (root / f"media-{number}.json").write_text(json.dumps(media))
        (root / f"named-{number}.json").write_text(json.dumps(good | {"clip_id": f"{text}{number}", "surprise": text}))
    return root


@pytest.mark.parametrize("written_as", ["text", "json"])
def test_validation_of_hostile_names(clips, capsys, written_as):
    with pytest.raises(SystemExit):
        main(["data", "validate", str(clips), "--format", written_as])
    written = capsys.readouterr()
    assert controls(written.out + written.err) == set()
    num_bad = 2 * (len(HOSTILE) + 3)
    if written_as == "json":
        found = json.loads(written.out)
        assert (found["good_clips"], found["bad_clips"]) == (4, num_bad)
    else:
        assert "4 good clips" in written.out
        assert f"{num_bad} bad" in written.out
    row("hostile and long names in a folder that is validated", num_bad, num_bad)


def test_a_long_name_in_a_reader_that_does_not_look(clips):
    """Whatever a reader does with a path, what the system says of it is the fault of that clip alone."""
    from remot.data.annotations.native.reader import NativeReader

    class Careless(NativeReader):
        def read_clip(self, file, root):
            if file.name == "good-1.json":
                (root / ("n" * 300)).stat()
            return super().read_clip(file, root)

    results = {source.file.name: result for source, result in read_each(Careless(), clips, decode=False)}
    assert isinstance(results["good-1.json"], AnnotationError)
    assert "too long" in str(results["good-1.json"])
    assert not isinstance(results["good-2.json"], Exception)


# -- the one way out -------------------------------------------------------------------------------------------------

WRITERS = ("print", "Console", "sys.stdout.write", "sys.stderr.write", "sys.stdout.writelines", "sys.stderr.writelines")
#: Files whose own text is printable or goes through :func:`printable` there, and what they call.
MAY_WRITE = {
    "terminal.py": {"sys.stdout.write", "sys.stderr.write"},
    "commands/data/record.py": {"sys.stderr.write"},  # a number and a carriage return
}


def writers(source):
    """Calls that write to the terminal."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {name for call in calls if (name := ast.unparse(call.func)) in WRITERS}


def test_there_is_one_way_to_the_terminal():
    found = {file: writers((PACKAGE / file).read_text()) - MAY_WRITE.get(file, set()) for file in FILES}
    assert {file: calls for file, calls in found.items() if calls} == {}


@pytest.mark.parametrize("source", ["print(x)", "Console().print(x)", "sys.stdout.write(x)"])
def test_the_check_can_fail(source):
    assert writers(source)
