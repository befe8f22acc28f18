"""What may be opened, how text is decoded, and in which order numbered files come."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from remot.errors import AnnotationError, ConfigError, DecodeError
from remot.files import (
    count_clutter,
    decode_text,
    expanded,
    files_in,
    find_files,
    gap_in_numbers,
    in_number_order,
    lines_of,
    number_order,
    open_regular,
    open_text,
    require_regular,
    write_whole,
)


def ordered(*names):
    return in_number_order("here", names, DecodeError)


@pytest.mark.parametrize(
    "names",
    [
        ["1.png", "2.png", "9.png", "10.png", "100.png"],
        ["img1.png", "img2.jpg", "img10.png"],  # endings do not count
        ["008.png", "009.png", "010.png"],
        ["8.png", "09.png", "10.png"],  # partly padded
        ["cam1_frame9.png", "cam1_frame10.png", "cam2_frame1.png"],  # several numbers, the first one leads
        ["a.png", "b.png", "b2.png"],  # by letters and by number alike
        ["1305031102.175304.png", "1305031102.211214.png"],  # times of equal width
        ["10.05.png", "10.50.png"],
        ["frame_" + "9" * 5000, "frame_1" + "0" * 5000],  # more digits than Python converts
        [],
    ],
)
def test_number_order(names):
    assert ordered(*reversed(names)) == names


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["1.png", "01.png"], ["'01.png'", "'1.png'"]),
        (["1.png", "1.jpg"], ["'1.jpg'", "'1.png'"]),
        (["img1.png", "img10.png", "img2_a1.png"], ["'img10.png'", "'img2_a1.png'"]),  # two schemes
        (["0.5.png", "0.25.png"], ["'0.25.png'", "'0.5.png'"]),  # decimal numbers, or part 5 and part 25
    ],
)
def test_unclear_orders_are_refused(names, named):
    with pytest.raises(DecodeError) as refused:
        ordered(*names)
    assert refused.value.reason == "order"
    assert all(name in str(refused.value) for name in ["here", *named])


def test_number_order_of_paths():
    paths = ["a/10.png", "b/1.png", "a/9.png"]
    assert sorted(paths, key=number_order) == ["a/9.png", "a/10.png", "b/1.png"]


@pytest.mark.parametrize(
    ("names", "gap"),
    [
        (["1.png", "2.png", "4.png", "5.png"], ("2.png", "4.png")),
        (["a_0_c3", "a_5_c3", "a_15_c3", "a_20_c3"], ("a_5_c3", "a_15_c3")),  # every fifth
        (["1.png", "2.png", "3.png"], None),
        (["a", "b"], None),
        (["1_1", "1_2", "2_1"], None),
    ],
)
def test_gaps(names, gap):
    found = gap_in_numbers(names)
    assert found == "" if gap is None else all(name in found for name in gap)


# -- opening ---------------------------------------------------------------------------------------------------------


def pipe(path):
    os.mkfifo(path)


def link_to_itself(path):
    path.symlink_to(path)


def bound_socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def link_to_a_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("make", [pipe, link_to_itself, bound_socket, link_to_a_device, os.mkdir])
@pytest.mark.parametrize("opening", [require_regular, open_regular, open_text])
def test_only_regular_files_are_opened(tmp_path, monkeypatch, make, opening):
    monkeypatch.chdir(tmp_path)  # a socket's path is bounded
    make(tmp_path.relative_to(tmp_path) / "odd.txt")
    with pytest.raises(OSError, match=r"odd\.txt"):
        opening(tmp_path / "odd.txt")


def test_a_link_to_a_regular_file_is_followed(tmp_path):
    (tmp_path / "a").write_bytes(b"text")
    (tmp_path / "b").symlink_to("a")
    with open_regular(tmp_path / "b") as stream:
        assert stream.read() == b"text"


# -- text ------------------------------------------------------------------------------------------------------------


def test_byte_order_mark_and_line_ends(tmp_path):
    content = "\ufeffä\r\nb\rc\n".encode()
    (tmp_path / "a").write_bytes(content)
    with open_text(tmp_path / "a") as stream:
        assert stream.read() == "ä\nb\nc\n" == decode_text(content)


def test_utf_16_is_named():
    with pytest.raises(ValueError, match="UTF-16"):
        decode_text("a".encode("utf-16"))


def test_lines_end_at_newlines_only():
    assert lines_of('{"text": "a\u2028b\x85"}\n\nc') == ['{"text": "a\u2028b\x85"}', "", "c"]
    assert lines_of("") == []
    assert lines_of("a\n") == ["a"]


# -- listing ---------------------------------------------------------------------------------------------------------


def test_bookkeeping_is_left_out(tmp_path):
    for name in ("a.json", "._a.json", "__MACOSX/a.json", "b/c.json", "b/._c.json", ".DS_Store", "b/d.PNG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_files(tmp_path, "*.json") == [tmp_path / "a.json", tmp_path / "b" / "c.json"]
    assert files_in(tmp_path / "b", [".png"]) == [tmp_path / "b" / "d.PNG"]
    assert count_clutter(tmp_path) == 4  # ._a.json, __MACOSX, b/._c.json, .DS_Store


@pytest.mark.parametrize("pattern", ["*.json", "a/*.json", "a/c.json"])
def test_links_to_folders_outside_are_reported(tmp_path, caplog, pattern):
    """What a link within the root leads to is found there."""
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root / "a", elsewhere):
        folder.mkdir(parents=True)
        (folder / "c.json").touch()
    links = {"linked": elsewhere, "latest": root / "a", "up": root, "gone": tmp_path / "nowhere", "loop": root / "loop"}
    for link, target in links.items():
        (root / link).symlink_to(target)
    for _ in range(2):
        assert find_files(root, pattern) == [root / "a/c.json"]
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [str(root / "linked")]


def test_a_folder_that_cannot_be_read_is_reported(tmp_path, monkeypatch, caplog):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.json").touch()
    read = os.scandir

    def scandir(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", folder)
        return read(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert find_files(tmp_path, "*.json") == [tmp_path / "a.json"]
    assert f"{tmp_path / 'closed'}" in caplog.text


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"nowhere: .*no such folder"):
        find_files(tmp_path / "nowhere", "*.json")


# -- settings --------------------------------------------------------------------------------------------------------


def test_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NOT_SET", raising=False)
    assert expanded("${HOME}/clips") == expanded("~/clips") == tmp_path / "clips"
    assert str(expanded("$HOME/a{b}")) == "$HOME/a{b}"  # a name like any other
    with pytest.raises(ConfigError, match="NOT_SET"):
        expanded("${NOT_SET}/clips")


def test_a_write_that_fails_leaves_the_old_text(tmp_path, monkeypatch):
    file = tmp_path / "scores.json"
    write_whole(file, "old")
    write_whole(file, "new")
    assert file.read_text() == "new"
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "killed here")))
    with pytest.raises(OSError, match="killed here"):
        write_whole(file, "half")
    assert file.read_text() == "new"


def test_links_and_devices_stay_what_they_are_and_errors_name_the_file(tmp_path):
    link, pipe = tmp_path / "link.csv", tmp_path / "pipe"
    link.symlink_to("real.csv")
    write_whole(link, "1")
    assert (link.is_symlink(), (tmp_path / "real.csv").read_text()) == (True, "1")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, "to the pipe")
    assert (pipe.is_fifo(), os.read(reader, 20)) == (True, b"to the pipe")
    for target in (tmp_path, tmp_path / "missing" / "a.csv"):
        with pytest.raises(OSError, match=target.name) as error:
            write_whole(target, "")
        assert error.value.filename == str(target)
    assert {path.name for path in tmp_path.iterdir()} == {"link.csv", "real.csv", "pipe"}


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    """Of a process that lives, and of another file, it stays."""
    writer = """
import os, pathlib, sys
from remot.files import write_whole
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), 9)
write_whole(pathlib.Path(sys.argv[1]), "half")
"""
    file, living = tmp_path / "run.json", tmp_path / f".run.json.{socket.gethostname()}.{os.getppid()}.tmp"
    for name in ("run.json", "other.json"):
        subprocess.run([sys.executable, "-c", writer, str(tmp_path / name)], check=False)
    living.touch()
    assert len(list(tmp_path.iterdir())) == 3
    write_whole(file, b"new")
    names = {path.name for path in tmp_path.iterdir()}
    assert file.read_bytes() == b"new"
    assert len(names) == 3
    assert {"run.json", living.name} < names
    assert any(name.startswith(".other.json.") for name in names)
