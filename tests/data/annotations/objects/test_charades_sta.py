"""Charades-STA in both of its forms, hand-made in the real layouts."""

import json
import logging

import numpy as np
import pytest

from remot.data.annotations import CharadesSTAReader
from remot.data.media import write_video
from remot.errors import AnnotationError
from remot.structures import Event
from tests.data.annotations.good_clips import good_clips
from tests.helpers import assert_close

VIDEO = {
    "duration": 30.96,
    "timestamps": [[24.3, 30.4], [0.0, 5.0]],
    "sentences": ["person turn a light on.", "person sits."],
}
LINES = (
    "3MSZA 24.3 30.4##person turn a light on.\n"
    "AMT7R 4.3 12.5##a person ## hangs a picture.\n"
    "3MSZA 0.0 5##person sits.\n"
)
TABLE = (
    "id,subject,scene,quality,script,actions,length\n"
    '3MSZA,P1D5,Kitchen,6,"A person, at home,\nturns on a light.",c092 11 20,30.96\n'
    "AMT7R,,Bedroom,6,none,c1 0 1,12\n"
)


def write_json(root, content):
    (root / "charades_sta_test.json").write_text(json.dumps(content))


def write_text(root, lines=LINES, table=TABLE):
    (root / "charades_sta_test.txt").write_text(lines)
    if table is not None:
        (root / "Charades_v1_test.csv").write_text(table)


def read(root, *settings):
    return list(CharadesSTAReader(*settings).read(root))


def test_json(tmp_path):
    write_json(tmp_path, {"3MSZA": VIDEO})
    (clip,) = good_clips(CharadesSTAReader(), tmp_path)
    assert clip.events == (Event("person turn a light on.", 24.3, 30.4), Event("person sits.", 0.0, 5.0))
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("3MSZA", "3MSZA", "charades_sta")
    assert (clip.media, clip.pts_seconds.tolist()) == (None, [0.0])


def test_text(tmp_path):
    """The table quotes a description with a comma and a line break; AMT7R's event is cut to its 12 seconds."""
    write_text(tmp_path)
    first, second = read(tmp_path)
    assert first.events == (Event("person turn a light on.", 24.3, 30.4), Event("person sits.", 0.0, 5.0))
    assert second.events == (Event("a person ## hangs a picture.", 4.3, 12.0),)
    assert (first.scene_id, second.scene_id) == ("P1D5", "AMT7R")


def test_without_a_table_durations_are_not_known(tmp_path):
    write_text(tmp_path, table=None)
    assert read(tmp_path)[1].events[0].end_seconds == 12.5


@pytest.mark.parametrize("folder", [".", "Charades_v1_480"])
def test_a_video_gives_its_times(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    write_text(tmp_path)
    write_video(tmp_path / folder / "3MSZA.mp4", np.zeros((3, 16, 16, 3), dtype=np.uint8), 5)
    first, second = good_clips(CharadesSTAReader(), tmp_path)
    assert first.media.name == "3MSZA.mp4"
    assert_close(first.pts_seconds, [0, 0.2, 0.4])
    assert second.media is None


def test_events_beyond_the_video_are_cut_or_refused(tmp_path, caplog):
    write_json(tmp_path, {"3MSZA": {**VIDEO, "duration": 30.0}})
    caplog.set_level(logging.INFO)
    assert read(tmp_path)[0].events[0].end_seconds == 30.0
    assert "3MSZA: event 1: ends at 30.4 s, cut to the video's 30 s" in caplog.text
    with pytest.raises(
        AnnotationError, match=r"3MSZA: event 1: 24\.3 to 30\.4 s lies beyond the video's 30 s"
    ) as caught:
        read(tmp_path, "refuse")
    assert caught.value.reason == "times"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration": 24.3}, "event 1: 24.3 to 30.4 s lies beyond the video's 24.3 s"),
        ({"duration": float("nan")}, "duration: holds NaN"),
        ({"duration": [1]}, "duration: expected numbers nested 0 deep"),
        ({"timestamps": [[1, 2]]}, "lists of equal length"),
        ({"timestamps": [[1, 2], [3, 3]]}, "event 2: 3 to 3 s for 'person sits.' is no stretch"),
        ({"timestamps": [[1, 2], [-1, 3]]}, "event 2: -1 to 3 s"),
        ({"timestamps": [[1, 2], [3, float("inf")]]}, "timestamps: holds NaN or infinity"),
        ({"timestamps": [[1, 2, 3], [4, 5, 6]]}, "timestamps has shape (2, 3), expected 2x2"),
        ({"timestamps": [], "sentences": []}, "at least one text"),
        ({"sentences": ["a", 7]}, "sentences must hold at least one text"),
        ({"sentences": ["a", " "]}, "event 2: 0 to 5 s for ' '"),
        ({"answers": 1}, "unknown key 'answers'"),
    ],
)
def test_malformed_json_is_named(tmp_path, changes, message):
    write_json(tmp_path, {"3MSZA": {**VIDEO, **changes}})
    with pytest.raises(AnnotationError) as caught:
        read(tmp_path)
    assert message in str(caught.value)
    assert "charades_sta_test.json: 3MSZA" in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("3MSZA 1 2 person sits.\n", "line 1 must read <video> <start> <end>##<sentence>"),
        (LINES + "3MSZA 1##person sits.\n", "line 4 must read"),
        (LINES + "3MSZA 1 x##person sits.\n", "line 4 must read"),
        (LINES + "##person sits.\n", "line 4 must read"),
        ("3MSZA 1 nan##person sits.\n", "line 1: 1 to nan s"),
        ("3MSZA 1 1e9##person sits.\n", "line 1: 1 to 1e+09 s"),
        ("3MSZA 1 2##\n", "line 1: 1 to 2 s for ''"),
        ("../3MSZA 1 2##person sits.\n", "cannot name a clip"),
    ],
)
def test_malformed_lines_are_named(tmp_path, lines, message):
    write_text(tmp_path, lines, table=None)
    with pytest.raises(AnnotationError) as caught:
        read(tmp_path)
    assert message in str(caught.value)
    assert "charades_sta_test.txt" in str(caught.value)


@pytest.mark.parametrize(
    "table", ["id,length\nAMT7R,x\n", "id,length\nAMT7R,nan\n", "id,length\nAMT7R,-1\n", "id,size\nA,1\n"]
)
def test_malformed_tables_are_named(tmp_path, table):
    write_text(tmp_path, table=table)
    with pytest.raises(AnnotationError, match=r"v1_test\.csv: line 2 .*length"):
        read(tmp_path)


def test_one_video_in_both_forms_is_refused(tmp_path):
    write_json(tmp_path, {"3MSZA": VIDEO})
    write_text(tmp_path)
    with pytest.raises(AnnotationError, match="clip id 3MSZA is taken by") as caught:
        read(tmp_path)
    assert caught.value.reason == "duplicate id"


def test_a_missing_file_and_a_broken_video_are_named(tmp_path):
    with pytest.raises(AnnotationError, match="found, give the folder"):
        read(tmp_path)
    write_text(tmp_path)
    (tmp_path / "3MSZA.mp4").write_bytes(b"torn")
    with pytest.raises(AnnotationError, match=r"video 3MSZA\.mp4"):
        read(tmp_path)


def test_videos_stay_inside_the_root(tmp_path):
    inner = tmp_path / "root"
    inner.mkdir()
    write_text(inner)
    (tmp_path / "out.mp4").write_bytes(b"")
    (inner / "3MSZA.mp4").symlink_to(tmp_path / "out.mp4")
    with pytest.raises(AnnotationError, match="leads outside"):
        read(inner)
