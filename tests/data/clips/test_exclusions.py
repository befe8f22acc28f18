"""Clips that must not be used: a listed name keeps its clips and its whole scene out."""

import pytest

from remot.data.clips.exclusions import Exclusions
from remot.errors import AnnotationError
from tests.data.handmade import clip_of, mixed_clips, write_folder
from tests.data.made import data_module


def listed(tmp_path, text):
    file = tmp_path / "exclude.txt"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def left(tmp_path, text, *names):
    clips = [clip_of(1, clip_id=name, scene_id=f"scene of {name}") for name in names]
    return [clip.clip_id for clip in Exclusions.read(listed(tmp_path, text)).remaining(clips)]


def test_without_a_file_nothing_is_left_out():
    clips = [clip_of(1)]
    assert Exclusions.read(None).remaining(clips) == clips


def test_names_comments_and_blank_lines(tmp_path):
    assert left(tmp_path, "# a benchmark\n\n  b  \r\nd\n", "a", "b", "c", "d") == ["a", "c"]


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("a*", ["b-1", "ba", "A-3"]),
        ("*1", ["a-2", "ba", "A-3"]),
        ("a-*", ["b-1", "ba", "A-3"]),
        ("a", ["a-1", "a-2", "b-1", "ba", "A-3"]),  # the whole name, not a part of it
    ],
)
def test_a_star_matches_anything(tmp_path, pattern, kept):
    assert left(tmp_path, pattern, "a-1", "a-2", "b-1", "ba", "A-3") == kept


@pytest.mark.parametrize("name", ["clip[1]", "what?", "[a-z]", "a.b", "back\\slash"])
def test_other_signs_stand_for_themselves(tmp_path, name):
    """A name with brackets that silently left nothing out would leak a benchmark into training."""
    assert left(tmp_path, name, name, "clip1", "whatx", "q", "axb") == ["clip1", "whatx", "q", "axb"]


def test_the_scene_is_listed(tmp_path):
    one, other, third = (clip_of(1, clip_id=name, scene_id=scene) for name, scene in ("ak", "bk", "cl"))
    assert Exclusions.read(listed(tmp_path, "k")).remaining([one, other, third]) == [third]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert left(tmp_path, b"\xef\xbb\xbfa\nb\n", "a", "b", "c") == ["c"]


def test_nothing_left_and_nothing_to_read(tmp_path):
    file = listed(tmp_path, "*")
    with pytest.raises(AnnotationError, match=r"exclude\.txt: all 2 clips"):
        Exclusions.read(file).remaining([clip_of(1, "a"), clip_of(1, "b")])
    assert Exclusions.read(file).remaining([]) == []
    with pytest.raises(AnnotationError, match=r"^data\.options\.exclude: .*gone\.txt: cannot be read"):
        Exclusions.read(tmp_path / "gone.txt")
    with pytest.raises(AnnotationError, match="cannot be read as text"):
        Exclusions.read(listed(tmp_path, b"\xff\xfe\x00"))


def test_no_split_of_a_run_holds_an_excluded_scene(tmp_path):
    root = write_folder(tmp_path / "clips", mixed_clips(6))
    data = data_module(str(root), exclude=listed(tmp_path, "c1\na2\narm-3\n"))
    data.setup()
    clips = [clip for dataset in data.mixed.values() for clip in dataset.clips]
    assert len(clips) == 9
    assert {"c1", "a2", "a3"}.isdisjoint(clip.scene_id for clip in clips)
