"""Several formats below one root: whose reader reads what, names, links, and what is refused."""

import json
import pickle

import pytest

from remot.cli import main
from remot.commands.data.sources import read_data
from remot.data.annotations import (
    COLMAPReader,
    LeRobotReader,
    MixtureReader,
    NativeReader,
    NerfstudioReader,
    ScanNetReader,
    SevenScenesReader,
)
from remot.data.clips.catalogue_cache import catalogue_path, load_catalogue, save_catalogue
from remot.data.clips.exclusions import Exclusions, names_of_sources
from remot.data.experts import CameraYaw
from remot.data.prompt_data import PromptData
from remot.data.tasks import MotionContrast
from remot.errors import AnnotationError, ConfigError
from tests.data.annotations import layouts
from tests.data.handmade import camera_clip, mixed_clips, write_folder
from tests.helpers import PROJECT, assert_close

#: Degrees to the right of each frame of the recordings.
YAW = (0.0, 12.0, 24.0, 36.0, 24.0, 12.0, 0.0, 0.2)


@pytest.fixture
def root(tmp_path):
    """Own clips, a recording in nerfstudio's layout, and one of 7-Scenes two folders down."""
    below = tmp_path / "root"
    write_folder(below / "own", mixed_clips(2))
    for name, write in (("captures", layouts.write_nerfstudio), ("rgbd/scenes", layouts.write_seven_scenes)):
        (below / name).mkdir(parents=True)
        write(layouts.shot_of(YAW), below / name)
    return below


def mixture(**more):
    scenes = SevenScenesReader(max_clip_frames=4)
    folders = {"own": NativeReader(), "captures": NerfstudioReader(fps=10.0), "rgbd/scenes": scenes}
    return MixtureReader(folders=folders | more)


def test_each_folder_is_read_by_its_own_reader(root):
    found = {clip.clip_id: clip for clip in mixture().read(root)}
    alone = {
        name: list(reader.read(root / name)) for name, reader in mixture().folders.items()
    }  # the same readers, a folder at a time
    wanted = [f"{name}/{clip.clip_id}" for name, clips in alone.items() for clip in clips]
    assert list(found) == wanted
    assert len(alone["rgbd/scenes"]) == 2, "eight frames cut into fours"
    for clips, name in zip(alone.values(), alone, strict=True):
        for clip in clips:
            mixed = found[f"{name}/{clip.clip_id}"]
            assert (mixed.scene_id, mixed.domain, mixed.media) == (clip.scene_id, clip.domain, clip.media)
            if clip.camera is not None:
                assert_close(mixed.camera.camera_to_world, clip.camera.camera_to_world)


def test_one_run_asks_about_all_of_them(root):
    data = PromptData(
        str(root), mixture(), [MotionContrast()], num_train_prompts_per_epoch=200, val_fraction=0.0, test_fraction=0.0
    )
    data.setup()
    prompts = data.prompts["train"]
    asked = {prompts.plan(address)[1].clip_id.split("/")[0] for address in range(100)}
    assert asked == {"own", "captures", "rgbd"}
    assert data.data_record()["reader"] == "MixtureReader"
    assert "captures/garden/transforms.json" in data.data_record()["sha256"]


def test_a_folder_may_be_a_link_and_its_media_stay_in_it(root, tmp_path):
    (root / "captures").rename(tmp_path / "elsewhere")
    (root / "captures").symlink_to(tmp_path / "elsewhere")
    assert len(list(mixture().read(root))) == len(mixture().sources(root))
    image = next((tmp_path / "elsewhere").rglob("*.png"))
    image.rename(tmp_path / "outside.png")
    image.symlink_to(tmp_path / "outside.png")
    with pytest.raises(AnnotationError, match="leads outside"):
        list(mixture().read(root))


def test_a_worker_reads_the_same(root):
    reader, source = pickle.loads(pickle.dumps((mixture(), mixture().sources(root)[-1])))
    assert reader.clip_of(source, root.resolve()).clip_id.startswith("rgbd/scenes/")


@pytest.mark.parametrize("name", ["", ".", "..", "/data", "own/../../x"])
def test_paths_that_leave_the_root_are_refused(name):
    with pytest.raises(ConfigError, match="folders"):
        mixture(**{name: NativeReader()})
    with pytest.raises(ConfigError, match="empty"):
        MixtureReader(folders={})


def test_a_folder_that_is_missing_or_holds_nothing_is_named(root):
    with pytest.raises(AnnotationError, match=r"data\.reader\.folders: .models. is no folder below"):
        mixture(models=COLMAPReader(fps=1.0)).sources(root)
    (root / "models").mkdir()
    with pytest.raises(AnnotationError, match=r"models: no .* found"):
        mixture(models=COLMAPReader(fps=1.0)).sources(root)


def test_a_kept_catalogue_depends_on_every_reader(root):
    """Other settings of an inner reader make another file."""
    sources = mixture().sources(root)

    def path(fps):
        reader = mixture(captures=NerfstudioReader(fps=fps))
        return catalogue_path(reader, root, sources, [MotionContrast()], "raise")

    assert path(10.0) == path(10.0) != path(20.0)


def test_the_command_line_takes_it(root, tmp_path):
    config = tmp_path / "mixture.yaml"
    config.write_text(
        "data:\n  reader:\n    class_path: remot.data.annotations.MixtureReader\n    init_args:\n      folders:\n"
        "        own: remot.data.annotations.NativeReader\n"
        "        captures: {class_path: remot.data.annotations.NerfstudioReader, init_args: {fps: 10.0}}\n"
        "  val_fraction: 0.0\n  test_fraction: 0.0\n"
    )
    words = ["--config", config, "--root", root, "--out", tmp_path / "out", "--num_triplets", 24]
    main(["data", "build", *map(str, words)])
    named = [json.loads(line)["remot"]["clip"] for line in (tmp_path / "out/prompts.jsonl").read_text().splitlines()]
    assert {name.split("/")[0] for name in named} == {"own", "captures"}


def test_the_recipe_parses_and_says_how_to_launch_it(tmp_path):
    file = PROJECT / "configs/data/mixture.yaml"
    assert "remot data build --config configs/data/mixture.yaml --root DIR --out OUT" in file.read_text()
    reader = read_data(file, str(tmp_path)).reader
    assert {name: type(one) for name, one in reader.folders.items()} == {
        "own": NativeReader,
        "scans": ScanNetReader,
        "robot": LeRobotReader,
    }


def two_folders(tmp_path, **weights):
    """One camera clip in each of two folders, which can answer the same."""
    for name in ("a", "b"):
        write_folder(tmp_path / name, [camera_clip((0, 20, 40, 20, 0, 0.2), clip_id="pan", scene_id=name)])
    reader = MixtureReader(folders={"a": NativeReader(), "b": NativeReader()}, weights=weights)
    data = PromptData(str(tmp_path), reader, [MotionContrast([CameraYaw()])], val_fraction=0.0, test_fraction=0.0)
    data.setup()
    return data


def share_of_b(data, count=400):
    prompts = data.prompts["train"]
    return sum(prompts.plan(address)[1].clip_id == "b/pan" for address in range(count)) / count


def test_clips_are_drawn_by_the_weight_of_their_folder(tmp_path):
    """A weight of 4 beside 1 makes four fifths, within 5 standard deviations of 400 draws (0.02)."""
    assert share_of_b(two_folders(tmp_path)) == pytest.approx(0.5, abs=5 * 0.025)
    assert share_of_b(two_folders(tmp_path, b=4.0)) == pytest.approx(0.8, abs=5 * 0.02)


def test_other_weights_are_other_data(tmp_path):
    """A run that continues with other weights is warned, and the catalogue keeps them."""
    plain, heavy = two_folders(tmp_path), two_folders(tmp_path, b=3.0)
    assert plain.fingerprint == two_folders(tmp_path).fingerprint != heavy.fingerprint
    save_catalogue(heavy.catalogue, tmp_path / "kept.jsonl")
    assert load_catalogue(tmp_path / "kept.jsonl") == heavy.catalogue
    assert [entry.weight for entry in heavy.catalogue.entries] == [1.0, 3.0]


@pytest.mark.parametrize(("name", "weight"), [("c", 1.0), ("a", 0.0), ("a", -1.0), ("a", float("nan")), ("a", 1e300)])
def test_weights_that_mean_nothing_are_refused(name, weight):
    with pytest.raises(ConfigError, match=r"data\.reader\.weights"):
        MixtureReader(folders={"a": NativeReader()}, weights={name: weight})


@pytest.mark.parametrize(("listed", "left"), [("b/pan", ["a/pan"]), ("a*", ["b/pan"]), ("pans", ["a/pan", "b/pan"])])
def test_a_list_names_clips_with_their_folder(tmp_path, listed, left):
    """``a*`` is a folder, and the scene of its clip."""
    entries = two_folders(tmp_path).catalogue.entries
    assert [entry.clip_id for entry in Exclusions((listed,)).remaining(entries)] == left


def test_a_list_names_clips_without_their_folder(tmp_path):
    entries = two_folders(tmp_path).catalogue.entries
    with pytest.raises(AnnotationError, match="all 2 clips are excluded"):
        Exclusions(("pan",)).remaining(entries)


def test_a_video_of_a_benchmark_is_found_in_a_folder(tmp_path):
    """By its name alone, as without a mixture."""
    write_folder(tmp_path / "ch", [camera_clip((0, 20, 40, 20, 0), clip_id=name) for name in ("3MSZA", "other")])
    reader = MixtureReader(folders={"ch": NativeReader()})
    exclusions = Exclusions(items=frozenset(names_of_sources(["charades/3MSZA.mp4"])))
    for found in (reader.read(tmp_path), NativeReader().read(tmp_path / "ch")):
        assert [clip.clip_id.split("/")[-1] for clip in exclusions.remaining(list(found))] == ["other"]


@pytest.mark.parametrize("names", [("a", "./a"), ("a", "a/"), ("a", "a/b"), ("a/b", "a")])
def test_folders_are_read_once(names):
    with pytest.raises(ConfigError, match=r"second time|lies in"):
        MixtureReader(folders=dict.fromkeys(names, NativeReader()))


def test_links_to_one_place_are_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ConfigError, match="lies in"):
        MixtureReader(folders={"a": NativeReader(), "b": NativeReader()}).sources(tmp_path)


def test_what_is_no_folder_is_not_suggested(root):
    (root / "captures.txt").touch()
    (root / "own.zip").touch()
    with pytest.raises(AnnotationError, match=r"'captures.txt' is no folder below .*, did you mean 'captures'"):
        MixtureReader(folders={"captures.txt": NativeReader()}).sources(root)
    with pytest.raises(AnnotationError, match=r"'zzz' is no folder below .*, its folders are captures, own, rgbd$"):
        MixtureReader(folders={"zzz": NativeReader()}).sources(root)
    with pytest.raises(AnnotationError, match="nowhere is no folder: give --root"):
        MixtureReader(folders={"own": NativeReader()}).sources(root / "nowhere")


def test_a_misspelt_folder_and_a_year_and_a_mixture_within(root):
    with pytest.raises(AnnotationError, match=r"'captres' is no folder below .*, did you mean 'captures'"):
        MixtureReader(folders={"captres": NativeReader()}).sources(root)
    with pytest.raises(ConfigError, match="no folder 'captres', did you mean 'captures'"):
        MixtureReader(folders={"captures": NativeReader()}, weights={"captres": 2.0})
    assert MixtureReader(folders={2024: NativeReader()}, weights={2024: 2.0}).weights == {"2024": 2.0}
    with pytest.raises(ConfigError, match="a is a mixture itself"):
        MixtureReader(folders={"a": mixture()})
