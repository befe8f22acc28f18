"""Loading all clips below a folder, and what becomes of the bad ones."""

import warnings
from dataclasses import replace

import pytest

from remot.data.annotations import NativeReader
from remot.data.annotations.base import ClipSource
from remot.data.clips.catalogue import ClipStore, report_faults, scan_clips
from remot.data.clips.exclusions import Exclusions
from remot.data.clips.loading import MAX_NAMED, read_each
from remot.data.tasks import MotionContrast
from remot.errors import AnnotationError, DecodeError
from remot.structures import ObjectTrack
from tests.data.handmade import boxes, camera_clip, clip_of
from tests.datatools.builds import plain_root


@pytest.fixture
def root(tmp_path):
    return plain_root(tmp_path / "clips", 4)


class ListReader(NativeReader):
    """Gives the results it was made with: clips, errors, or None for a clip that is left out."""

    def __init__(self, *given):
        self.given = given

    def sources(self, root):
        return [ClipSource(root / "all.txt", str(number)) for number in range(len(self.given))]

    def read_source(self, source, root):  # noqa: ARG002
        found = self.given[int(source.key)]
        if isinstance(found, Exception):
            raise found
        return found


def bare(clip_id, **names):
    return replace(camera_clip([0, 20, 40], clip_id=clip_id), media=None, **names)


def stock_of(reader, root, on_bad_clip="raise", **told):
    """What a run finds below a folder, told of as a run tells it."""
    catalogue = scan_clips(ClipStore(reader, root, reader.sources(root)), [MotionContrast()], on_bad_clip, **told)
    report_faults(catalogue, root)
    return catalogue


def ids(catalogue):
    return [entry.clip_id for entry in catalogue.entries]


def test_all_good(root):
    told = []
    loaded = stock_of(NativeReader(), root, on_progress=lambda *step: told.append(step))
    assert ids(loaded) == sorted(ids(loaded))
    assert len(ids(loaded)) == 8
    assert (loaded.faults, loaded.num_left_out) == ((), 0)
    assert told == [(k, 8) for k in range(1, 9)]


def test_a_bad_clip_stops_or_is_left_out(root):
    (root / "arm-1.mp4").unlink()
    with pytest.raises(AnnotationError, match=r"arm-1\.json: media 'arm-1\.mp4' does not exist"):
        stock_of(NativeReader(), root)
    with pytest.warns(UserWarning, match=r"1 bad clips.* 7 .*arm-1\.mp4"):
        loaded = stock_of(NativeReader(), root, "skip")
    assert len(ids(loaded)) == 7
    (fault,) = loaded.faults
    assert fault.source.endswith("arm-1.json")
    assert fault.reason == "missing media"


def test_what_the_reader_leaves_out_is_counted_apart(tmp_path):
    fault = AnnotationError("x: no good", reason="pose")
    reader = ListReader(bare("a"), None, fault, bare("b"), None)
    with pytest.warns(UserWarning, match="1 bad clips.* 2 .*: x: no good"):
        loaded = stock_of(reader, tmp_path, "skip")
    assert (ids(loaded), len(loaded.faults), loaded.num_left_out) == (["a", "b"], 1, 2)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([None, None], "no usable clip: the reader leaves all of them out"),
        ([AnnotationError("one"), DecodeError("two")], "no usable clip: one; two; repair the files"),
    ],
)
def test_nothing_left_is_an_error(tmp_path, given, sentence):
    with pytest.raises(AnnotationError, match=sentence):
        stock_of(ListReader(*given), tmp_path, "skip")


def test_only_the_first_faults_are_named_and_all_are_counted(tmp_path):
    faults = [DecodeError(f"fault {number}") for number in range(MAX_NAMED + 3)]
    with pytest.warns(UserWarning, match="8 bad clips") as told:
        loaded = stock_of(ListReader(bare("a"), *faults), tmp_path, "skip")
    assert "fault 4" in str(told[0].message)
    assert "fault 5" not in str(told[0].message)
    assert len(loaded.faults) == 8


def test_a_taken_id_is_a_fault_of_the_later_clip(tmp_path):
    with pytest.raises(AnnotationError, match=r"all\.txt: 2: .* a .*all\.txt: 0"):
        stock_of(ListReader(bare("a"), bare("b"), bare("a")), tmp_path)


@pytest.mark.parametrize(
    "clip",
    [
        bare("a\ud800"),
        bare("a", scene_id="\udfff"),
        bare("a", domain="\ud900"),
        clip_of(2, "a", objects={"\ud800": ObjectTrack(boxes([(5, 5), (6, 6)]))}, camera=None),
    ],
)
def test_names_of_half_characters_are_refused(tmp_path, clip):
    """They cannot be written into a file, which would be found out at the end of a long build."""
    with pytest.raises(AnnotationError, match=r"all\.txt: 0: the name '.*' holds half of a character"):
        stock_of(ListReader(replace(clip, media=None)), tmp_path)


def test_names_in_any_language_are_fine(tmp_path):
    assert ids(stock_of(ListReader(bare("厨房 🎥", scene_id="é")), tmp_path)) == ["厨房 🎥"]


def test_known_sources_are_not_listed_again(root):
    reader = NativeReader()
    sources = reader.sources(root)[:2]
    assert len(list(read_each(reader, root, decode=True, sources=sources))) == 2


def test_no_warning_without_a_fault(root):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = stock_of(NativeReader(), root, "skip")
    assert len(ids(loaded)) == 8
    assert not loaded.faults


# -- exclusion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        (("kitchen-1",), ["kitchen-2", "Kitchen-1", "hall[1]", "hall?"]),
        (("kitchen*",), ["Kitchen-1", "hall[1]", "hall?"]),
        (("hall[1]",), ["kitchen-1", "kitchen-2", "Kitchen-1", "hall?"]),
        (("hall?",), ["kitchen-1", "kitchen-2", "Kitchen-1", "hall[1]"]),
        (("scene of hall?",), ["kitchen-1", "kitchen-2", "Kitchen-1", "hall[1]"]),
        (("kitchen",), ["kitchen-1", "kitchen-2", "Kitchen-1", "hall[1]", "hall?"]),
        ((), ["kitchen-1", "kitchen-2", "Kitchen-1", "hall[1]", "hall?"]),
    ],
)
def test_names_and_stars(listed, left):
    """A star stands for anything; everything else for itself, the case of letters included."""
    names = ("kitchen-1", "kitchen-2", "Kitchen-1", "hall[1]", "hall?")
    clips = [bare(name, scene_id=f"scene of {name}") for name in names]
    assert [clip.clip_id for clip in Exclusions(listed).remaining(clips)] == left


def test_a_list_that_cannot_be_read(tmp_path):
    with pytest.raises(AnnotationError, match=r"gone\.txt: .*text"):
        Exclusions.read(tmp_path / "gone.txt")
    assert Exclusions.read(None).names == ()
