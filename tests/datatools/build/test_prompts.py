"""Building: what is on disk is what training on the fly would see, and nothing else happens."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

import remot.datatools.build.prompts
from remot.commands.data.sources import data_from
from remot.data.annotations.native.reader import write_annotation
from remot.data.records.folder import MANIFEST, RECORDS
from remot.data.records.jsonl import read_lines
from remot.data.records.parsing import from_record
from remot.datatools.build.images import folder_name, image_name
from remot.datatools.build.prompts import build, prompts_by_split
from remot.errors import ConfigError, DecodeError
from remot.structures import MaskOf, Warp
from tests.data.handmade import camera_clip
from tests.data.made import triplet_at
from tests.datatools.builds import VARIED, built, images_of, lines_of, plain_root, section_of, varied_root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return plain_root(tmp_path_factory.mktemp("plain") / "clips")


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    return varied_root(tmp_path_factory.mktemp("varied") / "clips")


def stored(folder, name):
    with Image.open(folder / name) as picture:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def assert_as_on_the_fly(folder, section, num_triplets):
    """Every line is the next prompt of its split, with its images."""
    data = data_from(section)
    data.setup()
    prompts = [from_record("", record) for _, record in read_lines(folder / RECORDS)]
    assert len(prompts) == num_triplets
    expected = [(name, k) for name, size in prompts_by_split(data, num_triplets).items() for k in range(size)]
    for prompt, (split, address) in zip(prompts, expected, strict=True):
        sample = data.mixed[split].prompt(address)
        triplet = triplet_at(*data.mixed[split].part(address))
        assert (prompt.split, prompt.question, prompt.clip_id) == (split, sample.question, sample.clip_id)
        assert (prompt.labels, prompt.negative) == (triplet.labels, triplet.negative)
        assert tuple(frame.index for frame in prompt.frames) == triplet.frame_indices
        assert tuple(frame.transform for frame in prompt.frames) == triplet.transforms
        assert len(prompt.images) == len(sample.images)
        for name, image in zip(prompt.images, sample.images, strict=True):
            assert torch.equal(stored(folder, name), image)
    return prompts


def test_plain_prompts_are_those_of_training(root, tmp_path):
    folder, _ = built(root, tmp_path / "out", 30)
    prompts = assert_as_on_the_fly(folder, section_of(root), 30)
    assert {prompt.split for prompt in prompts} == {"train", "val", "test"}
    assert {name for prompt in prompts for name in prompt.images} == images_of(folder)


def test_prompts_that_ask_for_the_answer_alone(root, tmp_path):
    """What is read back asks for no reasoning either, and learns none."""
    folder, _ = built(root, tmp_path / "out", 6, thinks=False)
    for prompt in assert_as_on_the_fly(folder, section_of(root, thinks=False), 6):
        assert prompt.question.response == f"<answer>{prompt.question.solution}</answer>"
        assert "hink" not in prompt.question.text


@pytest.mark.slow
@pytest.mark.parametrize("binary", [False, True])
def test_varied_prompts_are_those_of_training(rich, tmp_path, binary):
    """With every negative, format and expert; transforms, masks and prompts of two images among them."""
    folder, manifest = built(rich, tmp_path / "out", 120, binary=binary, val_fraction=0.0, test_fraction=0.3, **VARIED)
    section = section_of(rich, binary=binary, val_fraction=0.0, test_fraction=0.3, **VARIED)
    prompts = assert_as_on_the_fly(folder, section, 120)
    kinds = {type(frame.transform) for prompt in prompts for frame in prompt.frames}
    assert kinds == {type(None), Warp, MaskOf}
    assert {len(prompt.images) for prompt in prompts} == ({2, 3} if binary else {3})
    formats = {"multiple_choice", "true_false", "fill_in"} | (set() if binary else {"comparative"})
    assert set(manifest["counts"]["by_format"]) == formats
    assert set(manifest["counts"]["by_negative"]) == {
        *("retrieval", "time_reversal", "mirror", "rotated_view", "shifted_crop")
    }


@pytest.mark.slow
def test_the_size_of_the_portions_changes_nothing(rich, tmp_path, monkeypatch):
    first, manifest = built(rich, tmp_path / "a", 60, **VARIED)
    monkeypatch.setattr(remot.datatools.build.prompts, "AT_ONCE", 7)
    second, again = built(rich, tmp_path / "b", 60, **VARIED)
    assert (first / RECORDS).read_bytes() == (second / RECORDS).read_bytes()
    assert manifest == again
    assert images_of(first) == images_of(second)
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in images_of(first))


def test_a_clip_is_opened_once_for_all_its_prompts(root, tmp_path, monkeypatch):
    opened = []
    real = remot.datatools.build.images.each_frame
    monkeypatch.setattr(
        "remot.datatools.build.images.each_frame",
        lambda clip, frames: opened.append(clip.clip_id) or real(clip, frames),
    )
    built(root, tmp_path / "out", 60)
    assert len(opened) == len(set(opened)) == 10


def test_progress_counts_every_prompt(root, tmp_path, monkeypatch):
    monkeypatch.setattr(remot.datatools.build.prompts, "AT_ONCE", 7)
    told = []
    section = section_of(root)
    build(data_from(section), tmp_path / "out", 30, section, lambda *step: told.append(step))
    counts = [done for _, done, _ in told]
    assert {(what, total) for what, _, total in told} == {("building prompts", 30)}
    assert counts == sorted(counts)
    assert counts[-1] == 30
    assert len(set(counts)) > 8


# -- names of images ---------------------------------------------------------------------------------------------

ODD_IDS = (
    *("a", "A", "..", ".", "a/b", "a\\b", "/etc/passwd", "con", "CON", "con.png", "lpt1", "nul", "a.b", "a b", "a%2Fb"),
    *(
        "Küche",
        "ku\u0308che",
        "küche",
        "厨房",
        "🎥",
        "x" * 300,
        "x" * 301,
        "-",
        "~",
        "a~0",
        "a\nb",
        "a\x00b",
        "a:b",
        "a*?",
    ),
    *("kitchen-7", "trailing ", "trailing.", "%", "%2E", "...", "a//b", "C:\\x"),
)


def test_names_of_odd_clips_are_unique_and_safe():
    """On file systems that take a and A for the same, too."""
    names = [folder_name(clip_id) for clip_id in ODD_IDS]
    assert len({name.lower() for name in names}) == len(ODD_IDS)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9%~_-]{1,200}", name), name
        assert name.split("~")[0].lower() not in {"con", "nul", "lpt1"} or "~" in name
    assert folder_name("kitchen-7") == "kitchen-7"
    assert "~" in folder_name("con")


def test_names_of_transformed_images_are_their_own():
    warp = Warp("mirror", (-1.0, 0, 32.0, 0, 1, 0, 0, 0, 1), (32, 32))
    other = Warp("mirror", (-1.0, 0, 33.0, 0, 1, 0, 0, 0, 1), (32, 32))
    names = [image_name("a", 7, transform, "p") for transform in (None, warp, other, MaskOf("x"), MaskOf("y"))]
    assert names[0] == "frames/a/000007.png"
    assert len(set(names)) == 5


def test_odd_clips_are_built_inside_the_folder(tmp_path, monkeypatch):
    """Ids such as these come from readers, not from the native format, whose ids become file names."""
    import remot.data.annotations.native.reader as native

    root = plain_root(tmp_path / "clips", 4)
    odd = iter(["..", "a/b", "x" * 300, "厨房", "con", "CON", "a b", "A b"])
    real = native.require_text
    monkeypatch.setattr(native, "require_text", lambda w, c, key: next(odd) if key == "id" else real(w, c, key))
    folder, _ = built(root, tmp_path / "out", 40)
    found = images_of(folder)
    assert {name for record in lines_of(folder) for name in record["images"]} == found
    assert len({name.split("/")[1] for name in found}) == 8
    assert {path.name for path in tmp_path.iterdir()} == {"clips", "out"}


# -- refusals ------------------------------------------------------------------------------------------------------


def refused(root, out, num_triplets=10, **settings):
    with pytest.raises(ConfigError) as error:
        built(root, out, num_triplets, **settings)
    return str(error.value)


def test_a_folder_that_holds_something_is_refused(root, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    assert "out is not empty; give a new folder" in refused(root, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    assert "is not empty" in refused(root, tmp_path / "out" / "mine.txt")
    (tmp_path / "new").mkdir()
    built(root, tmp_path / "new", 10)


def test_a_folder_among_the_clips_is_refused(tmp_path):
    """Its manifest would be taken for a clip the next time."""
    root = plain_root(tmp_path / "clips")
    assert "lies inside the folder of the clips" in refused(root, root / "out")
    assert not (root / "out").exists()


@pytest.mark.parametrize(("number", "sentence"), [(0, "ask for at least 1"), (-3, "-3 prompts"), (2, "too few for 3")])
def test_too_few_triplets_are_refused(root, tmp_path, number, sentence):
    assert sentence in refused(root, tmp_path / "out", number)
    assert not (tmp_path / "out").exists()


def test_settings_that_no_manifest_can_hold_are_refused_before_the_work(root, tmp_path):
    section = section_of(root)
    with pytest.raises(ConfigError, match=r"val_fraction.*complex"):
        build(data_from(section), tmp_path / "out", 10, section | {"val_fraction": 1j})
    assert not (tmp_path / "out").exists()


def test_infinite_settings_come_back(root, tmp_path):
    """YAML has .inf and JSON has not."""
    expert = {"class_path": "remot.data.experts.CameraYaw", "init_args": {"salient_max": float("inf")}}
    folder, manifest = built(root, tmp_path / "out", 10, experts=[expert])
    kept = json.loads((folder / MANIFEST).read_text())["data"]
    assert kept["tasks"][0]["init_args"]["experts"][0]["init_args"]["salient_max"] == ".inf"
    assert data_from(kept).tasks[0].sampler.experts[0].salient_max == float("inf")
    assert manifest["tasks"][0]["settings"][0]["salient_max"] is None


def test_a_disk_that_refuses_is_reported(root, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    assert "No space left on device" in refused(root, tmp_path / "out")
    assert not (tmp_path / "out" / RECORDS).exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, DecodeError("cut")])
def test_an_interrupted_build_leaves_no_prompts(root, tmp_path, monkeypatch, stop):
    real, calls = remot.datatools.build.images.each_frame, []

    def read(clip, frames):
        calls.append(clip)
        if len(calls) == 4:
            raise stop
        return real(clip, frames)

    monkeypatch.setattr("remot.datatools.build.images.each_frame", read)
    with pytest.raises(KeyboardInterrupt if stop is KeyboardInterrupt else DecodeError):
        built(root, tmp_path / "out", 30)
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    built(root, tmp_path / "out", 30)


def test_a_second_build_into_the_same_folder_is_refused(root, tmp_path, monkeypatch):
    """While the first one has written nothing that could be seen yet."""
    real = remot.datatools.build.images.each_frame

    def read(clip, frames):
        if not found:
            monkeypatch.undo()
            found.append(refused(root, tmp_path / "out"))
        return real(clip, frames)

    found = []
    monkeypatch.setattr("remot.datatools.build.images.each_frame", read)
    folder, _ = built(root, tmp_path / "out", 30)
    assert "another process is writing to it" in found[0]
    assert len(lines_of(folder)) == 30


def test_prompts_are_divided_by_the_fractions(root):
    data = data_from(section_of(root, val_fraction=0.2, test_fraction=0.2))
    data.setup()
    assert prompts_by_split(data, 50) == {"train": 30, "val": 10, "test": 10}
    assert prompts_by_split(data, 4) == {"train": 2, "val": 1, "test": 1}


def test_one_scene_is_all_training(tmp_path):
    (tmp_path / "clips").mkdir()
    from tests.data.worlds import with_images

    clip = with_images(camera_clip([0, 20, 40, 0, 20]), tmp_path / "clips")
    write_annotation(clip, tmp_path / "clips", source="test", licence="Apache-2.0")
    _, manifest = built(tmp_path / "clips", tmp_path / "out", 5)
    assert manifest["counts"]["by_split"] == {"train": 5}


def test_each_image_is_written_once(root, tmp_path, monkeypatch):
    """Also where prompts of different portions share it."""
    monkeypatch.setattr(remot.datatools.build.prompts, "AT_ONCE", 7)
    saved, real = [], Image.Image.save
    monkeypatch.setattr(
        Image.Image, "save", lambda image, path, **more: saved.append(path) or real(image, path, **more)
    )
    folder, _ = built(root, tmp_path / "out", 60)
    assert len(saved) == len(set(saved)) == len(images_of(folder))
