"""``remot data build``, ``show``, ``audit``, ``validate`` and training from what was built, as a user types them."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from remot.cli import EXIT_BAD_INPUT, main
from remot.commands.data.audit import EXIT_UNFIT
from remot.data.datasets.recorded import RecordDataset
from remot.data.records.folder import MANIFEST
from tests.data.made import section
from tests.data.records.test_released import there_and_back
from tests.datatools.builds import SMALL, VARIED, lines_of, plain_root, seal_folder, varied_root, write_lines
from tests.helpers import PROJECT
from tests.tiny import model_folder

CONFIGS = PROJECT / "configs"
KEYS = (
    *("checked_labels", "wrong_labels", "blind_accuracy", "chance"),
    *("duplicate_frames_across_splits", "checked_prompts"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Clips, a configuration, and what is built with them."""
    folder = tmp_path_factory.mktemp("place")
    plain_root(folder / "clips")
    varied_root(folder / "varied")
    for name, settings in (("small", {}), ("varied", VARIED)):
        held = {"seed_everything": 3, "root": str(folder / ("clips" if name == "small" else name))}
        data = section(**(SMALL | settings))
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(held | {"data": data}))
    main(["data", "build", "--config", f"{folder}/small.yaml", "--out", f"{folder}/out", "--num_triplets", "20"])
    return folder


@pytest.fixture
def run(capsys):
    """Exit code and output of a command."""

    def command(*words):
        capsys.readouterr()
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def complaint(run):
    """The sentence about a command that must fail."""

    def command(*words):
        code, out, err = run(*words)
        assert (code, out) == (EXIT_BAD_INPUT, "")
        assert "Traceback" not in err
        (line,) = [line for line in err.splitlines() if line.startswith("remot: ")]
        return line.removeprefix("remot: ")

    return command


@pytest.fixture
def out(place, tmp_path):
    """A copy of the built folder."""
    shutil.copytree(place / "out", tmp_path / "copy")
    return tmp_path / "copy"


# -- build ---------------------------------------------------------------------------------------------------------


def test_build_reports_what_it_wrote(place, run, tmp_path):
    words = ("--config", place / "varied.yaml", "--out", tmp_path / "new", "--num_triplets", 30)
    code, told, _ = run("data", "build", *words)
    manifest = json.loads((tmp_path / "new" / MANIFEST).read_text())
    assert code == 0
    assert f"30 prompts (test 6, train 21, val 3) with {manifest['counts']['images']} images" in told
    assert "refused: 0 bad clips, 0 left out by the reader, 0 excluded" in told
    assert f"remot data show {tmp_path / 'new'}" in told
    assert manifest["seeds"] == {"train": 3, "val": 0, "test": 0}
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"prompts.jsonl", MANIFEST, "frames"}


def test_build_reports_bad_clips(place, run, complaint, tmp_path):
    shutil.copytree(place / "clips", tmp_path / "clips")
    (tmp_path / "clips" / "arm-1.mp4").unlink()
    words = ("data", "build", "--config", place / "small.yaml", "--root", tmp_path / "clips", "--num_triplets", 10)
    assert "arm-1.mp4" in complaint(*words, "--out", tmp_path / "a")
    with pytest.warns(UserWarning, match="1 bad clips are left out"):
        code, told, _ = run(*words, "--out", tmp_path / "b", "--on_bad_clip", "skip")
    assert code == 0
    assert "refused: 1 bad clips (missing media 1)" in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--out", "OUT"), "is not empty; give a new folder"),
        ((), "out"),
        (("--out", "NEW", "--num_triplets", "0"), "ask for at least 1"),
        (("--out", "NEW", "--num_triplet", "5"), "num_triplets"),
        (("--out", "NEW", "--root", "GONE"), "there is no such folder"),
        (("--out", "NEW", "--config", "GONE"), "gone: there is no such file"),
        (("--out", "NEW", "--on_bad_clip", "ignore"), "on_bad_clip"),
    ],
)
def test_mistakes_of_build(place, complaint, tmp_path, words, sentence):
    named = {"OUT": place / "out", "NEW": tmp_path / "new", "GONE": tmp_path / "gone"}
    assert sentence in complaint("data", "build", *(named.get(word, word) for word in words))
    assert not (tmp_path / "new").exists()


# -- show ----------------------------------------------------------------------------------------------------------


def test_show_writes_a_page_or_an_image(out, run, tmp_path):
    code, told, _ = run("data", "show", out, "--num_rows", 5)
    assert (code, told) == (0, f"5 prompts on {out / 'sheet.html'}\n")
    page = (out / "sheet.html").read_text("utf-8")
    assert page.count("</article>") == 5
    assert "<title>5 of 20 prompts in copy</title>" in page
    code, told, _ = run("data", "show", out, "--out", tmp_path / "new" / "sheet.png", "--attribute", "camera_yaw")
    assert code == 0
    assert (tmp_path / "new" / "sheet.png").read_bytes().startswith(b"\x89PNG")
    count = sum(one["remot"]["labels"][0]["attribute"] == "camera_yaw" for one in lines_of(out))
    assert told == f"{count} prompts on {tmp_path / 'new' / 'sheet.png'}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--out", "x.gif"), "give a file that ends in .html or .png"),
        (("--num_rows", "0"), "1 to 1000 on .html and 500 on .png rows"),
        (("--out", "x.png", "--num_rows", "501"), "--num_rows 501"),
        (
            ("--domain", "sea"),
            "it has the domains manipulation, navigation and the tasks and attributes camera_yaw, effector_h",
        ),
        (("--attribute", "gripper"), "holds no such prompt"),
    ],
)
def test_mistakes_of_show(out, complaint, words, sentence):
    assert sentence in complaint("data", "show", out, *words)


def test_show_needs_a_whole_folder(out, place, complaint):
    assert "holds no prompts.jsonl" in complaint("data", "show", place / "clips")
    write_lines(out, lines_of(out)[1:], seal=False)
    assert "is not the file its manifest was written for" in complaint("data", "show", out)
    (out / "frames").rename(out / "gone")
    seal_folder(out)
    assert "is not in" in complaint("data", "show", out)


def test_a_sheet_that_cannot_be_written(out, complaint, tmp_path):
    (tmp_path / "x.html").mkdir()
    assert "the sheet cannot be written" in complaint("data", "show", out, "--out", tmp_path / "x.html")


# -- audit ---------------------------------------------------------------------------------------------------------


def audit_record(run, *words):
    code, told, _ = run("data", "audit", *words, "--format", "json")
    return code, json.loads(told)


def test_audit_of_a_folder(out, run):
    for path in (out, out / "prompts.jsonl"):
        code, record = audit_record(run, path)
        assert code == 0
        assert tuple(record)[: len(KEYS)] == KEYS
        assert (record["checked_labels"], record["wrong_labels"], record["wrong_images"]) == (60, 0, 0)
        assert (record["wrong_facts"], record["compared_images"], record["split"]) == (0, 60, "built")
    code, told, _ = run("data", "audit", out, "--num_triplets", 5)
    assert code == 0
    assert "5 prompts of the built split" in told
    assert "wrong images, of 15 compared with the source" in told


def test_audit_of_a_wrong_folder_fails_with_a_message(out, run):
    records = lines_of(out)
    records[0]["remot"]["scene"] = "elsewhere"
    write_lines(out, records)
    code, _, err = run("data", "audit", out)
    assert code == EXIT_UNFIT
    assert err.splitlines()[-1].startswith("remot: 1 facts are wrong, such as train/0/0: scene elsewhere")


def test_the_source_may_move(place, run, complaint, tmp_path):
    shutil.copytree(place / "clips", tmp_path / "clips")
    main(["data", "build", "--root", str(tmp_path / "clips"), "--out", str(tmp_path / "out"), "--num_triplets", "12"])
    shutil.move(tmp_path / "clips", tmp_path / "moved")
    assert "there is no such folder" in complaint("data", "audit", tmp_path / "out")
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps([{"images": ["a.png"], "question": "?", "answer": 1}]))
    assert "questions without annotations" in complaint("data", "audit", questions)
    assert audit_record(run, tmp_path / "out", "--root", tmp_path / "moved")[0] == 0
    shutil.copytree(tmp_path / "out", tmp_path / "elsewhere" / "copy")
    assert audit_record(run, tmp_path / "elsewhere" / "copy", "--root", tmp_path / "moved")[1]["wrong_labels"] == 0


def test_a_folder_built_from_here_is_audited_from_there(place, run, tmp_path, monkeypatch):
    """The manifest knows where the clips are, whatever the working folder is."""
    monkeypatch.chdir(place)
    main(["data", "build", "--root", "clips", "--out", str(tmp_path / "out"), "--num_triplets", "12"])
    monkeypatch.chdir(tmp_path)
    assert audit_record(run, "out")[0] == 0


def test_a_configuration_is_used_instead_of_what_the_folder_says(place, out, run):
    config = yaml.safe_load((place / "small.yaml").read_text())
    expert = {"class_path": "remot.data.experts.CameraYaw", "init_args": {"salient_min": 30.0}}
    experts = [expert, {"class_path": "remot.data.experts.EffectorHorizontal"}]
    config["data"]["tasks"] = [{"class_path": "MotionContrast", "init_args": {"experts": experts}}]
    file = out.parent / "strict.yaml"
    file.write_text(yaml.safe_dump(config))
    code, record = audit_record(run, out, "--config", file)
    assert code == EXIT_UNFIT
    assert record["wrong_labels"] > 0


@pytest.mark.parametrize(
    "value",
    ["os.system", {"class_path": "os.system"}, [{"class_path": "antigravity.Expert"}], ["this.Expert"], "a.remot.B"],
)
@pytest.mark.parametrize("key", ["reader", "tasks", "experts", "negatives", "formats"])
def test_a_folder_loads_no_foreign_code(out, complaint, key, value):
    manifest = json.loads((out / MANIFEST).read_text())
    if key in {"reader", "tasks"}:
        manifest["data"][key] = value
    else:
        manifest["data"]["tasks"] = [{"class_path": "MotionContrast", "init_args": {key: value}}]
    (out / MANIFEST).write_text(json.dumps(manifest))
    assert "which is only loaded for a configuration: give it with --config" in complaint("data", "audit", out)


def test_a_manifest_without_settings_is_reported(out, complaint):
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["data"] = None
    (out / MANIFEST).write_text(json.dumps(manifest))
    assert "does not say with which settings it was built; give them with --config" in complaint("data", "audit", out)


def test_a_folder_names_no_url_to_read(out, complaint):
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["root"] = "memory://elsewhere/clips"
    (out / MANIFEST).write_text(json.dumps(manifest))
    assert "memory://elsewhere/clips" in complaint("data", "audit", out)
    assert "memory://given: there is no file" in complaint("data", "audit", out, "--root", "memory://given")


def test_a_configuration_with_records_audits_the_records(out, run, tmp_path):
    file = tmp_path / "records.yaml"
    file.write_text(yaml.safe_dump({"data": {"records": str(out)}}))
    code, record = audit_record(run, "--config", file)
    assert (code, record["split"], record["checked_labels"]) == (0, "built", 60)


def test_audit_of_a_published_file(run, tmp_path):
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(there_and_back(number)) + "\n" for number in range(30)))
    code, record = audit_record(run, file)
    assert code == 0
    assert (record["checked_labels"], record["num_prompts"], record["split"]) == (0, 30, "test.jsonl")
    assert record["blind_accuracy"] > record["chance"] + 0.2
    code, told, _ = run("data", "audit", file)
    assert "none: there are no annotations" in told
    assert "Opened, Closed, Closed 20" in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "nothing to audit: give a folder of built prompts, or --config"),
        (("OUT", "--num_triplets", "0"), "--num_triplets 0: ask for at least 1"),
        (("OUT", "--num_triplets", "-4"), "ask for at least 1"),
        (("GONE",), "holds no prompts.jsonl with its manifest.json"),
        (("CLIPS",), "holds no prompts.jsonl"),
        (("OUT", "--format", "xml"), "format"),
    ],
)
def test_mistakes_of_audit(place, complaint, words, sentence):
    named = {"OUT": place / "out", "GONE": place / "gone", "CLIPS": place / "clips"}
    assert sentence in complaint("data", "audit", *(named.get(word, word) for word in words))


# -- validate ------------------------------------------------------------------------------------------------------


def test_validate_counts_by_what_the_configuration_asks(run, tmp_path):
    root, file = varied_root(tmp_path / "clips", num_scenes=1), tmp_path / "every_expert.yaml"
    data = section(**(SMALL | {"experts": VARIED["experts"]}))
    file.write_text(yaml.safe_dump({"root": str(root), "data": data}))
    code, told, _ = run("data", "validate", root, "--format", "json")
    by_default = json.loads(told)["clips_by_attribute"]
    assert code == 0
    assert "mask_frame" not in by_default
    code, told, _ = run("data", "validate", "--config", file, "--format", "json")
    assert (code, json.loads(told)["good_clips"]) == (0, 2)
    assert by_default.keys() < json.loads(told)["clips_by_attribute"].keys()
    assert json.loads(told)["clips_by_attribute"]["mask_frame"] == 1


def test_validate_uses_the_configured_reader(place, complaint, run, tmp_path):
    """RealEstate10K's files end in .txt, of which there is none."""
    file = tmp_path / "re10k.yaml"
    file.write_text(yaml.safe_dump({"data": {"reader": "remot.data.annotations.RealEstate10KReader"}}))
    assert "no *.txt found" in complaint("data", "validate", place / "clips", "--config", file)
    native = ("--reader", "remot.data.annotations.NativeReader")
    assert run("data", "validate", place / "clips", "--config", file, *native)[0] == 0


def test_validate_sends_prompts_to_the_audit(out, complaint):
    assert f"are checked by: remot data audit {out}" in complaint("data", "validate", out)
    file = out / "prompts.jsonl"
    assert (
        f"is a file: give the folder of annotated clips; prompts are checked by remot data audit {file}"
        in complaint("data", "validate", file)
    )
    assert "nothing to validate: give a folder" in complaint("data", "validate")


def test_schema_is_printed(run):
    code, told, _ = run("data", "schema")
    assert code == 0
    assert json.loads(told)["$schema"].endswith("2020-12/schema")


# -- training ------------------------------------------------------------------------------------------------------

TINY = {
    "model.grpo.num_completions": 2,
    "model.grpo.max_new_tokens": 4,
    "model.evaluation.max_new_tokens": 4,
    "data.batch_size": 2,
    "data.num_train_prompts_per_epoch": 8,
    "data.num_test_prompts": 2,
    "trainer.max_steps": 2,
}


def fit(strategy, **settings):
    weights = {"model.policy.source.pretrained": model_folder(), "model.strategy": strategy}
    words = (word for key, value in (TINY | weights | settings).items() for word in (f"--{key}", str(value)))
    main(["fit", "--config", str(CONFIGS / "quickstart.yaml"), *words])


@pytest.fixture
def seen(monkeypatch):
    """The training prompts that a run reads, in order, evaluations apart."""
    found = []
    real = RecordDataset.prompt

    def read(self, address):
        sample = real(self, address)
        if self.split == "train":
            found.append(sample)
        return sample

    monkeypatch.setattr(RecordDataset, "prompt", read)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["GRPO", "SFT"])
def test_a_run_on_built_prompts(place, seen, tmp_path, monkeypatch, strategy):
    """Two steps, the held-out evaluation before and after, the table, and MLflow; no clip is opened."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("remot.data.prompt_data.catalogue_of", lambda *_: pytest.fail("clips were read"))
    fit(strategy, **{"data.records": place / "out"})
    by_id = {one["id"]: one for one in lines_of(place / "out") if one["remot"]["split"] == "train"}
    assert len(seen) >= 4
    first_batch = [sample.question.prompt_id for sample in seen[:2]]
    assert len(set(first_batch)) == 2
    for sample in seen[:4]:
        record = by_id[sample.question.prompt_id]
        assert sample.question.text == record["messages"][0]["content"]
        assert f"<answer>{sample.question.solution}</answer>" == record["solution"]
        assert len(sample.images) == 3
    assert list(tmp_path.glob("runs/quickstart/*/last.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["GRPO", "SFT"])
def test_a_run_on_a_published_file(seen, tmp_path, monkeypatch, strategy):
    """Its questions are of kinds that the library does not know; metrics are named after their words."""
    from mlflow import MlflowClient
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    records = [there_and_back(number) for number in range(12)]
    for record in records:
        for image in record["images"]:
            Image.new("RGB", (32, 32), "blue").save(tmp_path / image.rpartition("/")[2])
    Path("agibot_test.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    store = f"sqlite:///{tmp_path}/store.db"
    fit(strategy, **{"data.records": "agibot_test.jsonl", "trainer.logger.init_args.tracking_uri": store})
    assert {sample.question.prompt_id for sample in seen} <= {record["id"] for record in records}
    client = MlflowClient(store)
    (found,) = client.search_runs([client.get_experiment_by_name("quickstart").experiment_id])
    assert "eval/final/attribute/please_select_whether_the_left_gripper_moved/partial" in found.data.metrics
    assert "eval/final/partial" in found.data.metrics


@pytest.mark.slow
def test_records_that_do_not_fit_stop_a_run(place, out, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("fit", "--config", CONFIGS / "quickstart.yaml", "--trainer.logger", "false", "--data.records")
    assert "does not exist; give a folder that" in complaint(*words, tmp_path / "gone")
    write_lines(out, lines_of(out)[:1])
    assert "holds no prompt of the val split" in complaint(*words, out)
    assert "data.record" in complaint(*words[:-1], "--data.recrods", place / "out")
