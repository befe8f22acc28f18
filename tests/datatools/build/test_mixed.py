"""Triplets among the tasks on disk: in one file with them, the same as on the fly, and audited."""

import json
import shutil

import pytest
import torch
import yaml

from remot.cli import EXIT_BAD_INPUT, main
from remot.commands.data.audit import EXIT_UNFIT
from remot.commands.data.sources import data_from
from remot.data.records.parsing import from_record
from remot.data.records.schema import to_line
from remot.datatools.build.prompts import build
from remot.errors import AnnotationError
from remot.files import sha256_of
from remot.structures import task_of
from tests.datatools.build.test_tasks import _set, audited, lines_of, rewritten

#: Triplets with images as they are, mirrored ones and masks, asked about in letters and in numbers.
SECTION = {
    "root": "embedded/tasks",
    "tasks": [
        {"class_path": "TemporalGroundingSpans"},
        {
            "class_path": "MotionContrast",
            "init_args": {
                "experts": [
                    {"class_path": f"remot.data.experts.{name}"}
                    for name in ("ObjectHorizontal", "CameraYaw", "CameraForward")
                ],
                "negatives": [{"class_path": f"remot.data.negatives.{name}"} for name in ("Retrieval", "Mirror")],
                "formats": [
                    {"class_path": f"remot.data.questions.formats.{name}"} for name in ("MultipleChoice", "FillIn")
                ],
            },
        },
        {"class_path": "ObjectSize"},
    ],
    "num_train_prompts_per_epoch": 30,
    "num_val_prompts": 6,
    "num_test_prompts": 9,
    "batch_size": 4,
}
NUM_PROMPTS = 45
TRIPLETS = "motion_contrast"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    return out, build(data_from(SECTION), out, NUM_PROMPTS, dict(SECTION))


@pytest.fixture
def copy(built, tmp_path):
    shutil.copytree(built[0], tmp_path / "copy")
    return tmp_path / "copy"


def of_triplets(folder):
    return [line for line in lines_of(folder) if line["remot"]["task"] == TRIPLETS]


def facts_of(question):
    """All that a question holds; references are equal to themselves only."""
    return vars(question) | {"reference": question.reference and vars(question.reference)}


def test_what_is_built_is_what_would_be_seen(built):
    """Every prompt of every split: pixels, text, slots, reference, response, task and name, in the run's order."""
    fresh, records = data_from(SECTION), data_from({"records": str(built[0])})
    fresh.setup()
    records.setup()
    seen = set()
    for split, dataset in records.prompts.items():
        dataset.shuffled = False
        for address in range(built[1]["counts"]["by_split"][split]):
            ours, theirs = dataset[address], fresh.prompts[split].prompt(address)
            assert facts_of(ours.question) == facts_of(theirs.question)
            assert ours.question.response == theirs.question.response
            assert type(ours.question) is type(theirs.question)
            assert ours.clip_id == theirs.clip_id
            held = ([*one.images, *(video.frames for video in one.videos)] for one in (ours, theirs))
            assert all(torch.equal(a, b) for a, b in zip(*held, strict=True))
            seen.add(task_of(ours.question))
    assert seen == {"temporal_grounding_spans", TRIPLETS, "object_size"}


def test_images_of_both_kinds_are_written_once(built):
    """Frames that a task and a triplet show are one file; the manifest counts it once."""
    out, manifest = built
    by_kind = [
        {name for line in lines_of(out) if (line["remot"]["task"] == TRIPLETS) is kind for name in line["images"]}
        for kind in (True, False)
    ]
    assert by_kind[0] & by_kind[1]
    assert any("-" in name.rsplit("/", 1)[1] for name in by_kind[0])  # mirrored
    files = {path.relative_to(out).as_posix() for path in (out / "frames").rglob("*.png")}
    assert files == by_kind[0] | by_kind[1]
    assert manifest["counts"]["images"] == len(files)


def test_the_manifest(built):
    out, manifest = built
    counts = manifest["counts"]
    assert manifest["format"] == "remot-prompts/2"
    assert counts["by_task"][TRIPLETS] == len(of_triplets(out)) == NUM_PROMPTS // 3
    assert sum(counts["by_attribute"].values()) == counts["by_task"][TRIPLETS]
    assert set(counts["by_negative"]) == {"retrieval", "mirror"}
    settings = [one["class"] for one in manifest["tasks"][1]["settings"]]
    assert settings == ["ObjectHorizontal", "CameraYaw", "CameraForward", "Retrieval", "Mirror"]
    assert 0 < manifest["clips_by_task"]["train"][TRIPLETS] < manifest["clips"]["train"]


def test_lines_are_read_as_they_were_written(built):
    for line in (built[0] / "prompts.jsonl").read_text("utf-8").splitlines():
        assert to_line(from_record("x", json.loads(line))) == line


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_set("remot", "task", to=7), "task must be a non-empty text"),
        (_set("remot", "surprise", to=1), "surprise"),
        (_set("solution", to="<answer>Z</answer>"), "is not that of the slots"),
    ],
)
def test_a_malformed_line_is_named(built, change, sentence):
    (line, *_) = of_triplets(built[0])
    change(line)
    with pytest.raises(AnnotationError, match=r"^x") as error:
        from_record("x", line)
    assert sentence in str(error.value)


# -- the audit of a folder -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_whole_folder_is_right(copy, capsys):
    status, record = audited(capsys, copy)
    assert status == 0
    assert (record["num_prompts"], record["checked_prompts"]) == (NUM_PROMPTS, NUM_PROMPTS)
    assert (record["wrong_prompts"], record["wrong_facts"], record["wrong_images"]) == (0, 0, 0)
    assert [one["task"] for one in record["tasks"]] == ["temporal_grounding_spans", TRIPLETS, "object_size"]
    assert record["tasks"][1]["num_prompts"] == NUM_PROMPTS // 3


def _turned(line):
    """Another value of the first pair, and of the answer that says it, so that the line is one that could be."""
    label, slot = line["remot"]["labels"][0], line["remot"]["slots"][0]
    label["value"] = next(value for value in ("left", "right", "none") if value != label["value"])
    assert label["attribute"] in {"object_horizontal", "camera_yaw"}
    assert slot["options"]


@pytest.mark.slow
def test_what_is_wrong_with_triplets_is_found(copy, capsys):
    changes = [
        _turned,
        _set("remot", "scene", to="elsewhere"),
        _set("remot", "negative", to="shifted_crop"),
        _set("remot", "frames", 1, "pts_seconds", to=0.0001),
    ]
    numbers = [
        number
        for number, line in enumerate(lines_of(copy))
        if line["remot"]["task"] == TRIPLETS
        and line["remot"]["format"] == "multiple_choice"
        and line["remot"]["labels"][0]["attribute"] in {"object_horizontal", "camera_yaw"}
    ]
    assert len(numbers) >= len(changes)
    for number, change in zip(numbers, changes, strict=False):
        rewritten(copy, change, number)
    status, record = audited(capsys, copy)
    assert status == EXIT_UNFIT
    counted = {key: record[key] for key in ("wrong_prompts", "wrong_facts", "wrong_images")}
    assert counted == {"wrong_prompts": 1, "wrong_facts": 3, "wrong_images": 0}


@pytest.mark.slow
def test_an_image_of_a_triplet_that_is_not_the_source_is_found(copy, capsys):
    from PIL import Image

    shown = {name for line in lines_of(copy) if line["remot"]["task"] != TRIPLETS for name in line["images"]}
    name = next(name for line in of_triplets(copy) for name in line["images"] if name not in shown)
    with Image.open(copy / name) as image:
        turned = image.convert("RGB").transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    turned.save(copy / name)
    status, record = audited(capsys, copy)
    assert (status, record["wrong_images"]) == (EXIT_UNFIT, 1)


def test_settings_without_triplets_are_refused(copy, capsys, tmp_path):
    other = SECTION | {"tasks": [SECTION["tasks"][0], SECTION["tasks"][2]]}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"data": other}))
    lines = of_triplets(copy)
    (copy / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    manifest["sha256"]["prompts.jsonl"] = sha256_of(copy / "prompts.jsonl")
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    status, complaint = audited(capsys, copy, "--config", tmp_path / "other.yaml")
    assert status == EXIT_BAD_INPUT
    assert "the settings have no task 'motion_contrast' as number 1" in complaint


# -- commands ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_build_and_show_say_what_they_did(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"data": SECTION}))
    words = ["--config", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out"), "--num_triplets", "15"]
    main(["data", "build", *words])
    told = capsys.readouterr().out
    assert told.startswith("15 prompts (test 3, train 10, val 2) with ")
    triplets = of_triplets(tmp_path / "out")
    assert f"tasks: motion_contrast {len(triplets)}, " in told
    main(["data", "show", str(tmp_path / "out"), "--task", TRIPLETS])
    assert capsys.readouterr().out == f"{len(triplets)} prompts on {tmp_path / 'out' / 'sheet.html'}\n"
    page = (tmp_path / "out" / "sheet.html").read_text("utf-8")
    assert page.count("<article") == len(triplets) > 1
    assert all(line["id"] in page for line in triplets)
