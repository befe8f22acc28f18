"""GOT-10k as VideoChat-R1 asks it and as the toolkit scores, by hand."""

import pytest

from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks.base import BenchmarkOptions
from remot.evaluation.benchmarks.got10k import GOT10k, shown_indices
from tests.evaluation.benchmarks.stub import counts_of, values_of, verdicts_of

META = "[METAINFO]\nurl: x\nobject_class: bear\nresolution: (100, 50)\n"


def sequence(root, name="s1", num_frames=13, cover=None, box="10,5,20,10"):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "groundtruth.txt").write_text("\n".join([box] * num_frames) + "\n")
    (folder / "meta_info.ini").write_text(META)
    (folder / "cover.label").write_text("\n".join(map(str, cover or [8] * num_frames)) + "\n")
    return folder


def said(*boxes):
    return f"<answer>{[list(box) for box in boxes]}</answer>"


RIGHT = (0.1, 0.1, 0.3, 0.3)


def test_the_frames_shown():
    assert shown_indices(13) == [0, 2, 4, 6, 8, 10, 12]
    assert shown_indices(10) == [0, 1, 3, 4, 6, 7, 9]


def test_the_prompt(tmp_path):
    sequence(tmp_path)
    (prompt,) = GOT10k().read(tmp_path)
    assert prompt.gold == [pytest.approx(RIGHT)] * 8
    assert "[0.100, 0.100, 0.300, 0.300]" in prompt.text
    assert "bear" in prompt.text
    assert [image.name for image in prompt.images] == [f"{k + 1:08d}.jpg" for k in shown_indices(13)]
    assert prompt.image_seconds == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)


def test_images_may_lie_elsewhere_and_have_other_names(tmp_path):
    sequence(tmp_path / "labels", num_frames=3)
    images = tmp_path / "images" / "s1"
    images.mkdir(parents=True)
    for k in range(3):
        (images / f"{k}.png").write_bytes(b"x")
    (prompt,) = GOT10k(BenchmarkOptions(media=tmp_path / "images")).read(tmp_path / "labels")
    assert prompt.images[0] == images / "0.png"
    assert prompt.image_seconds == ()  # frames are shown twice, and make no video


def test_overlaps_by_hand(tmp_path):
    """0.6 of the width in all eight boxes is 0.6; seven boxes are 0."""
    for name in ("s1", "s2", "s3"):
        sequence(tmp_path, name)
    benchmark = GOT10k()
    replies = [said(*[RIGHT] * 8), said(*[(0.1, 0.1, 0.22, 0.3)] * 8), said(*[RIGHT] * 7)]
    verdicts = verdicts_of(benchmark, benchmark.read(tmp_path), replies)
    values, counts = values_of(benchmark, verdicts), counts_of(benchmark, verdicts)
    assert values["overlap"] == pytest.approx(1.6 / 3)
    assert values["R@0.5"] == pytest.approx(2 / 3)
    assert (values["toolkit/AO"], counts["toolkit/AO"]) == (pytest.approx(1.6 / 3), 18)
    assert values["toolkit/SR0.5"] == pytest.approx(2 / 3)
    assert verdicts[2].parsed is None
    assert benchmark.parse(verdicts[0].prompt, str([list(RIGHT)] * 8)) is None  # not in an answer element


def test_half_is_enough_for_one_and_not_for_the_other(tmp_path):
    sequence(tmp_path, box="0,0,50,25")
    benchmark = GOT10k()
    values = values_of(benchmark, verdicts_of(benchmark, benchmark.read(tmp_path), [said(*[(0, 0, 0.25, 0.5)] * 8)]))
    assert values["overlap"] == 0.5
    assert (values["R@0.5"], values["toolkit/SR0.5"]) == (1, 0)


def test_hidden_frames_and_the_first_are_dropped_and_frames_are_pooled(tmp_path):
    cover = [8] * 13
    cover[2] = cover[4] = 0
    sequence(tmp_path, "s1", cover=cover)
    sequence(tmp_path, "s2")
    benchmark = GOT10k()
    wrong = (0.8, 0.8, 0.9, 0.9)
    replies = [said(wrong, *[RIGHT] * 7), said(RIGHT, *[wrong] * 7)]
    verdicts = verdicts_of(benchmark, benchmark.read(tmp_path), replies)
    values, counts = values_of(benchmark, verdicts), counts_of(benchmark, verdicts)
    assert counts["toolkit/AO"] == 4 + 6
    assert values["toolkit/AO"] == pytest.approx(0.4)
    assert values["toolkit/AO_by_sequence"] == pytest.approx(0.5)
    assert values["overlap"] == pytest.approx((7 / 8 + 1 / 8) / 2)


def test_boxes_are_cut_at_the_border_by_the_toolkit_alone(tmp_path):
    sequence(tmp_path, box="80,5,20,10")
    benchmark = GOT10k()
    beyond = (0.8, 0.1, 1.2, 0.3)
    values = values_of(benchmark, verdicts_of(benchmark, benchmark.read(tmp_path), [said(*[beyond] * 8)]))
    assert values["toolkit/AO"] == pytest.approx(1)
    assert values["overlap"] == pytest.approx(0.5)


def test_a_box_beyond_the_left_border_moves_and_keeps_its_size_as_in_the_toolkit(tmp_path):
    sequence(tmp_path, box="0,0,20,10")
    benchmark = GOT10k()
    values = values_of(benchmark, verdicts_of(benchmark, benchmark.read(tmp_path), [said(*[(-0.1, 0, 0.1, 0.2)] * 8)]))
    assert values["toolkit/AO"] == pytest.approx(1)
    assert values["overlap"] == pytest.approx(1 / 3)


def test_boxes_turned_round_overlap_nothing(tmp_path):
    sequence(tmp_path)
    benchmark = GOT10k()
    values = values_of(benchmark, verdicts_of(benchmark, benchmark.read(tmp_path), [said(*[(0.3, 0.3, 0.1, 0.1)] * 8)]))
    assert (values["overlap"], values["toolkit/AO"]) == (0, 0)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("groundtruth.txt", "1,2,3\n"),
        ("groundtruth.txt", "a,b,c,d\n"),
        ("groundtruth.txt", "1,2,3,inf\n"),
        ("meta_info.ini", "nothing"),
        ("meta_info.ini", "[METAINFO]\nresolution: (0, 50)\n"),
        ("cover.label", "x\n"),
    ],
)
def test_malformed_sequences_are_named(tmp_path, file, text):
    folder = sequence(tmp_path)
    (folder / file).write_text(text)
    with pytest.raises(AnnotationError, match=file.split(".")[0]):
        GOT10k().read(tmp_path)


def test_a_folder_without_sequences_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="groundtruth"):
        GOT10k().read(tmp_path)
