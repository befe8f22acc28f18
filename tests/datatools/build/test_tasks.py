"""Prompts of tasks on disk: the same as on the fly, read strictly, and audited line by line."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from remot.cli import EXIT_BAD_INPUT, main
from remot.commands.data.audit import EXIT_UNFIT
from remot.commands.data.sources import data_from
from remot.data.datamodule import MotionDataModule
from remot.data.datasets.loaders import collate_prompts
from remot.data.datasets.recorded import RecordDataset
from remot.data.records.parsing import from_record
from remot.data.records.schema import to_line
from remot.datatools.build.prompts import build
from remot.errors import AnnotationError, ConfigError
from remot.files import sha256_of
from tests.helpers import PROJECT

CONFIGS = PROJECT / "configs" / "systems"
#: Every kind of reference: times, letters with times, boxes, letters with boxes, events, words, numbers with a map,
#: letters with a map, numbers with graphs, a box with graphs; videos and images.
NAMES = (
    *("TemporalGroundingSpans", "GroundedEventChoice", "ObjectTracking", "ImageGroundedChoice", "EventCaption"),
    *("ImageQuality", "ObjectSize", "RelativeDistance", "TrackDistance", "BoxLocalisation"),
    "ObjectMotion",
)
SECTION = {
    "root": "embedded/tasks",
    "tasks": [{"class_path": f"remot.data.tasks.{name}"} for name in NAMES],
    "num_train_prompts_per_epoch": 40,
    "num_val_prompts": 10,
    "num_test_prompts": 10,
    "batch_size": 4,
}
NUM_PROMPTS = 60  # 42 of train, 6 of val, 12 of test


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    manifest = build(data_from(SECTION), out, NUM_PROMPTS, dict(SECTION))
    return out, manifest


@pytest.fixture
def copy(built, tmp_path):
    shutil.copytree(built[0], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def on_the_fly():
    data = data_from(SECTION)
    data.setup()
    return data


def lines_of(folder):
    return [json.loads(line) for line in (folder / "prompts.jsonl").read_text("utf-8").splitlines()]


def rewritten(folder, change, number=0):
    """Change one line, and what the manifest says about the file."""
    lines = lines_of(folder)
    change(lines[number])
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["sha256"]["prompts.jsonl"] = sha256_of(folder / "prompts.jsonl")
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def numbers_of(folder, task):
    """Of the lines of a task."""
    return [number for number, line in enumerate(lines_of(folder)) if line["remot"]["task"] == task]


def number_of(folder, task):
    return numbers_of(folder, task)[0]


def assert_same(one, other):
    """Two samples with the same images, times, text, reference and response."""
    assert one.clip_id == other.clip_id
    assert len(one.images) == len(other.images)
    assert all(torch.equal(a, b) for a, b in zip(one.images, other.images, strict=True))
    assert len(one.videos) == len(other.videos)
    for video, held in zip(one.videos, other.videos, strict=True):
        assert torch.equal(video.frames, held.frames)
        assert video.pts_seconds == held.pts_seconds
    held = {key: value for key, value in vars(one.question).items() if key != "reference"}
    assert held == {key: value for key, value in vars(other.question).items() if key != "reference"}
    assert vars(one.question.reference) == vars(other.question.reference)
    assert one.question.response == other.question.response


# -- the same prompts ----------------------------------------------------------------------------------------------


def test_what_is_built_is_what_would_be_seen(built, on_the_fly):
    """Frames pixel by pixel, times, text, reference and response, of every task; the built ones in the run's order."""
    records = data_from({"records": str(built[0]), "num_val_prompts": 6, "num_test_prompts": 12})
    records.setup()
    seen = set()
    for split, size in (("train", 42), ("val", 6), ("test", 12)):
        read = {prompt.question.prompt_id: number for number, prompt in enumerate(records.prompts[split].prompts)}
        assert len(read) == size
        for address in range(size):
            fresh = on_the_fly.prompts[split].prompt(address)
            dataset = records.prompts[split]
            dataset.shuffled = False
            assert_same(dataset[read[fresh.question.prompt_id]], fresh)
            seen.add(fresh.question.task)
    assert len(seen) == len(NAMES)


def test_batches_of_held_out_prompts_are_the_same(built, on_the_fly):
    records = MotionDataModule(records=Path(built[0]), num_val_prompts=6, batch_size=3)
    records.setup()
    (first, second) = list(records.val_dataloader())
    fresh = collate_prompts([on_the_fly.prompts["val"][address] for address in range(3)])
    assert [question.text for question in first.questions] == [question.text for question in fresh.questions]
    for ours, theirs in zip((*first.videos, *first.images), (*fresh.videos, *fresh.images), strict=True):
        frames = ([getattr(one, "frames", one) for one in held] for held in (ours, theirs))
        assert all(torch.equal(a, b) for a, b in zip(*frames, strict=True))
    assert len(second.questions) == 3


def test_a_second_epoch_has_names_of_its_own(built):
    records = data_from({"records": str(built[0])})
    records.setup()
    train = records.prompts["train"]
    names = [train.question(address).prompt_id for address in range(84)]
    assert len(set(names)) == 84
    assert all(name.endswith("#1") for name in names[42:])
    assert train.question(50).reference is not None
    assert train.question(50).task in {line["remot"]["task"] for line in lines_of(built[0])}


def test_each_frame_is_written_once_and_edits_apart(built):
    out, manifest = built
    named = {name for line in lines_of(out) for name in line["images"]}
    assert {path.relative_to(out).as_posix() for path in (out / "frames").rglob("*.png")} == named
    assert manifest["counts"]["images"] == len(named) < sum(len(line["images"]) for line in lines_of(out))
    edited = [
        line for line in lines_of(out) if {"kind": "edit"} in [frame["transform"] for frame in line["remot"]["frames"]]
    ]
    assert all(line["remot"]["task"] == "classification" for line in edited)
    assert edited
    assert all("-" in name.rsplit("/", 1)[1] for line in edited for name in line["images"])


def test_the_manifest(built):
    out, manifest = built
    assert manifest["format"] == "remot-prompts/2"
    assert manifest["counts"]["by_split"] == {"test": 12, "train": 42, "val": 6}
    assert sum(manifest["counts"]["by_task"].values()) == 60
    assert [one["needs"] for one in manifest["tasks"]][4] == "events"
    assert manifest["clips_by_task"]["train"]["object_size"] < manifest["clips"]["train"]
    assert manifest["sha256"] == {"prompts.jsonl": sha256_of(out / "prompts.jsonl")}


def test_lines_are_read_as_they_were_written(built):
    for line in (built[0] / "prompts.jsonl").read_text("utf-8").splitlines():
        assert to_line(from_record("x", json.loads(line))) == line


# -- untrusted lines -----------------------------------------------------------------------------------------------


def _set(*path, to):
    def change(line):
        for key in path[:-1]:
            line = line[key]
        line[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_set("remot", "surprise", to=1), "surprise"),
        (_set("id", to=7), "id must be a non-empty text"),
        (_set("images", to="x.png"), "images must be a list"),
        (_set("images", to=["x.png"]), "1 images for"),
        (_set("messages", to=[]), "messages must be a list of 1 things"),
        (_set("solution", to=None), "solution must be a text"),
        (_set("remot", "split", to="dev"), "choose from train, val, test"),
        (_set("remot", "task_index", to=-1), "task_index must be a whole number of at least 0"),
        (_set("remot", "as_video", to="yes"), "as_video must be true or false"),
        (_set("remot", "frames", to=[]), "frames must be a list of 1 to 4096"),
        (_set("remot", "frames", 0, "index", to=10**6), "in order of their indices"),
        (_set("remot", "frames", 0, "pts_seconds", to="0"), "pts_seconds must be a number"),
        (_set("remot", "reference", to=[]), "reference"),
        (_set("remot", "reference", to={"counterfactuals": []}), "counterfactuals"),
        (_set("remot", "reference", to={"number": True}), "number must be a number"),
        (_set("remot", "reference", to={"intervals": [[1]]}), "intervals must be a list of 2 numbers"),
        (_set("remot", "reference", to={"intervals": [[2, 1]]}), "ends before it starts"),
        (_set("remot", "reference", to={"boxes": [[0.5, 0, 0.1, 1]]}), "is not in the order left, top, right, bottom"),
        (_set("remot", "reference", to={"events": ["a", 3]}), "events must be a non-empty text"),
        (_set("remot", "reference", to={"map_centres": {"a": [[1, "x"]]}}), "point must be a number"),
        (_set("remot", "reference", to={"map_centres": {"a": 3}}), "a must be a list"),
        (_set("remot", "reference", to={"graphs": [[1, 2]]}), "graph"),
    ],
)
def test_a_malformed_line_is_named(built, change, sentence):
    (line, *_) = (one for one in lines_of(built[0]) if len(one["images"]) > 1)
    change(line)
    with pytest.raises(AnnotationError, match=r"^x") as error:
        from_record("x", line)
    assert sentence in str(error.value)


@pytest.mark.parametrize("image", ["../../etc/passwd.png", "/etc/passwd", "frames/none.png"])
def test_images_stay_inside_the_folder(copy, image):
    rewritten(copy, _set("images", 0, to=image), number_of(copy, "tracking"))
    with pytest.raises(Exception, match=r"leads outside|is not in"):
        data_from({"records": str(copy)}).setup()


def test_a_changed_file_is_refused(copy):
    with (copy / "prompts.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(AnnotationError, match="manifest"):
        data_from({"records": str(copy)}).setup()


# -- the audit of a folder -----------------------------------------------------------------------------------------


def audited(capsys, *words):
    status = 0
    try:
        main(["data", "audit", *map(str, words), "--format", "json"])
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    return status, json.loads(printed.out) if printed.out else printed.err


@pytest.mark.slow
def test_a_whole_folder_is_right(copy, capsys):
    status, record = audited(capsys, copy)
    assert status == 0
    assert (record["split"], record["num_prompts"], record["checked_prompts"]) == ("built", 60, 60)
    assert (record["wrong_prompts"], record["wrong_facts"], record["wrong_images"]) == (0, 0, 0)
    assert record["compared_images"] > 100
    assert len(record["tasks"]) == len(NAMES)


#: Changes of the first prompts of a task, one each.
WRONG = {
    "temporal_grounding_spans": [_set("remot", "reference", "intervals", 0, 0, to=0.01)],
    "tracking": [_set("remot", "reference", "boxes", 3, 0, to=0.0)],
    "caption": [_set("remot", "reference", "events", to=["nothing"])],
    "classification": [_set("remot", "reference", "answer", to="odd")],
    "object_size": [
        _set("remot", "reference", "number", to=1.0),
        _set("solution", to="<think></think><answer>1</answer>"),
    ],
    "track_distance": [_set("remot", "reference", "number", to=99.0)],
    "relative_distance": [_set("messages", 0, "content", to="Which is the closest?\nA. it\nB. that")],
}


@pytest.mark.slow
def test_wrong_references_in_a_folder_are_found(copy, capsys):
    for task, changes in WRONG.items():
        for number, change in zip(numbers_of(copy, task), changes, strict=False):
            rewritten(copy, change, number)
    status, record = audited(capsys, copy)
    assert status == EXIT_UNFIT
    wrong = {one["task"]: one["wrong_prompts"] for one in record["tasks"] if one["wrong_prompts"]}
    assert wrong == {task: len(changes) for task, changes in WRONG.items()}


def test_wrong_facts_are_found(copy, capsys):
    changes = [
        _set("remot", "frames", 1, "pts_seconds", to=0.0001),
        _set("remot", "scene", to="elsewhere"),
        _set("remot", "domain", to="elsewhere"),
    ]
    for number, change in zip(numbers_of(copy, "caption"), changes, strict=False):
        rewritten(copy, change, number)
    status, record = audited(capsys, copy)
    assert (status, record["wrong_facts"]) == (EXIT_UNFIT, len(changes))


@pytest.mark.slow
def test_an_image_that_is_not_the_source_is_found(copy, capsys):
    line = lines_of(copy)[number_of(copy, "tracking")]
    with Image.open(copy / line["images"][0]) as picture:
        pixels = picture.convert("RGB")
    pixels.putpixel((0, 0), tuple(255 - value for value in pixels.getpixel((0, 0))))
    pixels.save(copy / line["images"][0])
    status, record = audited(capsys, copy)
    assert status == EXIT_UNFIT
    assert record["wrong_images"] > 0


def test_a_folder_loads_no_foreign_code(copy, capsys):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["data"]["tasks"][0]["class_path"] = "os.system"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    status, complaint = audited(capsys, copy)
    assert status == EXIT_BAD_INPUT
    assert "which is only loaded for a configuration" in complaint


def test_settings_with_other_tasks_are_refused(copy, capsys, tmp_path):
    other = SECTION | {"tasks": [{"class_path": "remot.data.tasks.EventCaption"}]}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"data": other}))
    status, complaint = audited(capsys, copy, "--config", tmp_path / "other.yaml")
    assert status == EXIT_BAD_INPUT
    assert "have no task" in complaint


# -- commands ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_build_and_show_say_what_they_did(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"data": SECTION, "seed_everything": 3}))
    words = ["--config", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out"), "--num_triplets", "20"]
    main(["data", "build", *words])
    told = capsys.readouterr().out
    assert told.startswith("20 prompts (test 4, train 14, val 2) with ")
    assert "tasks: caption 2, classification 2, " in told
    main(["data", "show", str(tmp_path / "out"), "--num_rows", "6"])
    assert capsys.readouterr().out == f"6 prompts on {tmp_path / 'out' / 'sheet.html'}\n"
    page = (tmp_path / "out" / "sheet.html").read_text("utf-8")
    assert page.count("<article") == 6
    assert "<title>6 of 20 prompts in out</title>" in page
    main(["data", "show", str(tmp_path / "out"), "--task", "tracking"])
    with pytest.raises(SystemExit) as stop:
        main(["data", "show", str(tmp_path / "out"), "--task", "none"])
    assert stop.value.code == EXIT_BAD_INPUT
    assert (
        "it has the domains floors, happenings, rooms and the tasks and attributes caption, classification"
        in capsys.readouterr().err
    )


def test_what_cannot_be_built(tmp_path):
    with pytest.raises(ConfigError, match="ask for at least 1"):
        build(data_from(SECTION), tmp_path / "out", 0, SECTION)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        build(data_from(SECTION), tmp_path / "full", 20, SECTION)
    assert not (tmp_path / "out").exists()


def test_records_take_the_place_of_tasks(built):
    data = data_from(SECTION | {"records": str(built[0])})
    data.setup()
    assert len(data.prompts["train"]) == 42


@pytest.mark.slow
def test_a_run_on_built_prompts(tmp_path, monkeypatch):
    """A step of a system's recipe on a folder of its own prompts, `data.tasks` still set; no clip is opened."""
    recipe, small = CONFIGS / "videochat_r1.yaml", CONFIGS / "quickstart_overrides.yaml"
    out = tmp_path / "out"
    words = ["--config", recipe, "--root", "embedded/tasks", "--out", out, "--num_triplets", 20]
    main(["data", "build", *map(str, words)])
    seen = []
    read = RecordDataset.prompt
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("remot.data.prompt_data.catalogue_of", lambda *_: pytest.fail("clips were read"))
    monkeypatch.setattr(
        RecordDataset, "prompt", lambda self, address: seen.append(sample := read(self, address)) or sample
    )
    settings = {"data.records": out, "trainer.max_steps": 1, "held_out.enabled": "false", "summary.export": "false"}
    settings |= {"model.grpo.max_new_tokens": 6, "model.grpo.num_completions": 2, "trainer.limit_val_batches": 0}
    more = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    main(["fit", "--config", str(recipe), "--config", str(small), *more])
    by_id = {line["id"]: line for line in lines_of(out)}
    assert len(seen) >= 4
    for sample in seen:
        line = by_id[sample.question.prompt_id]
        assert sample.question.text == line["messages"][0]["content"]
        assert bool(sample.videos) == line["remot"]["as_video"]
