"""What a user reads when something is wrong: one sentence that names the thing, before any model is loaded."""

import json
import subprocess
import sys

import pytest
import yaml

from remot.cli import EXIT_BAD_INPUT, main
from remot.commands.parsing.errors import NEAREST, explain, keys_of_files
from remot.data.media import write_video
from tests.data.handmade import SIZE, camera_clip, mixed_clips, write_folder
from tests.helpers import PROJECT

CONFIGS = PROJECT / "configs"
QUICKSTART = str(CONFIGS / "quickstart.yaml")


@pytest.fixture(autouse=True)
def _no_model_is_loaded(monkeypatch, tmp_path):
    """Loading weights fails the test; what a run leaves behind stays in ``tmp_path``."""

    def refuse(*_, **__):
        pytest.fail("a model was loaded before the input was checked")

    monkeypatch.setattr("remot.strategies.settings.VLMPolicy", refuse)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def complaint(capfd):
    """Runs a command that must fail and gives its one sentence."""

    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert stop.value.code == EXIT_BAD_INPUT
        assert "Traceback" not in out + err
        lines = [line for line in err.splitlines() if line.startswith("remot: ")]
        assert len(lines) == 1
        assert err.rstrip().endswith(lines[0])
        return lines[0].removeprefix("remot: ")

    return run


@pytest.fixture
def complaint_about(complaint):
    """The sentence about a folder of clips."""

    def run(root, *arguments, config=QUICKSTART):
        return complaint("fit", "--config", config, "--root", root, "--trainer.logger", "false", *arguments)

    return run


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "clips", mixed_clips(4))


# -- misspelt keys and values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "wrong", "nearest"),
    [
        (["--model.beta_kll", "0.1"], "model.beta_kll", "model.grpo.loss.init_args.beta)"),
        (["--data.batchsize", "3"], "data.batchsize", "data.batch_size)"),
        (["--data.experts", "[]"], "data.experts", "data.tasks[MotionContrast].experts)"),
        (["--data.min_gap_frames", "2"], "min_gap_frames", "data.tasks[MotionContrast].sampling.min_gap_frames)"),
        (["--data.held_out_seed", "2"], "data.held_out_seed", "data.options.held_out_seed)"),
        (["--trainer.max_stepss", "3"], "trainer.max_stepss", "trainer.max_steps)"),
        (["--model.strategy", "SFTT"], "SFTT", "SFT)"),
        (["--model.grpo.reward", "ReMoTRewardd"], "ReMoTRewardd", "ReMoTReward)"),
        (["--data.tasks", "[{class_path: MotionContrst}]"], "MotionContrst", "MotionContrast)"),
        (["--trainer.callbacks", "[{class_path: LearningRateMonitr}]"], "LearningRateMonitr", "LearningRateMonitor)"),
        (
            ["--model.strategy", "AlternatingSFTGRPO", "--model.strategy.init_args.ksft", "3"],
            "'ksft' is not accepted",
            "k_sft)",
        ),
    ],
)
def test_misspelt_on_the_command_line(complaint, arguments, wrong, nearest):
    sentence = complaint("fit", "--config", QUICKSTART, *arguments)
    assert wrong in sentence
    assert sentence.endswith(nearest)


def test_setting_of_another_strategy(complaint):
    """The quickstart's strategy is GRPO, which has no settings at all."""
    sentence = complaint("fit", "--config", QUICKSTART, "--model.strategy.init_args.ksft", "3")
    assert "model.strategy" in sentence
    assert "ksft" in sentence


@pytest.mark.parametrize(
    ("section", "wrong", "nearest"),
    [
        ({"model": {"gpro": {"num_completions": 4}}}, "model.gpro", "model.grpo)"),
        ({"data": {"num_worker": 4}}, "data.num_worker", "data.num_workers)"),
    ],
)
def test_misspelt_in_a_file(complaint, tmp_path, section, wrong, nearest):
    """The file that holds the misspelt key must not make it a known one."""
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(section))
    sentence = complaint("fit", "--config", file)
    assert wrong in sentence
    assert sentence.endswith(nearest)


@pytest.mark.parametrize(
    ("task", "wrong", "nearest"),
    [
        ("TrackNearest", "max_node", "max_nodes"),
        ("RelativeDirection", "map_axis", "map_axes"),
    ],
)
def test_misspelt_setting_that_a_task_has_from_its_base_class(complaint, task, wrong, nearest):
    settings = yaml.safe_dump([{"class_path": f"remot.data.tasks.{task}", "init_args": {wrong: 1}}])
    sentence = complaint("fit", "--config", QUICKSTART, "--data.tasks", settings)
    assert "data.tasks" in sentence
    assert f"'{wrong}'" in sentence
    assert sentence.endswith(f"{NEAREST} {nearest})")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("max_node", "max_nodes"),
        ("zzz", "frames, margin_degrees, max_nodes, min_gap_metres, min_metres, min_pixels, min_ratio, num_graphs, "),
    ],
)
def test_settings_that_are_passed_on_are_settings(wrong, told):
    """The three classes hand ``**shared`` to TrackTask: its settings are theirs, and none is called ``shared``."""
    expected = "Subtypes: [<class 'remot.data.tasks.tracks.relations.PlacedTask'>, <class 'NoneType'>]"
    message = f'Parser key "data.tasks": Does not validate against any of the Union subtypes {expected} Errors: '
    sentence = explain(f"{message}- Option '{wrong}' is not accepted - Expected a <class 'NoneType'>", ["shared"])
    assert sentence.startswith(f"Parser key \"data.tasks\": Option '{wrong}' is not accepted {NEAREST} {told}")
    assert "shared" not in sentence


def test_setting_that_a_task_of_another_base_class_does_not_have(complaint):
    """Motion-contrast triplets are no subclass of ``Task``: of a union's two complaints the second is the one."""
    settings = "[{class_path: remot.data.tasks.MotionContrast, init_args: {binry: true}}]"
    sentence = complaint("fit", "--config", QUICKSTART, "--data.tasks", settings)
    assert "'binry'" in sentence
    assert "subclass" not in sentence


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trainer.max_steps", "many"], ["trainer.max_steps", "many"]),
        (["--model.grpo.num_completions", "1"], ["num_completions", "at least 2", "1"]),
        (["--model.grpo.sampling.temperature", "0"], ["temperature", "0"]),
        (["--model.strategy", "AlternatingSFTGRPO", "--model.strategy.k_sft", "0"], ["k_sft", "at least 1", "0"]),
        (["--data.batch_size", "0"], ["batch_size", "0"]),
    ],
)
def test_value_that_does_not_fit(complaint, arguments, told):
    sentence = complaint("fit", "--config", QUICKSTART, "--trainer.logger", "false", *arguments)
    assert all(word in sentence for word in told)


def test_run_without_an_end(complaint):
    sentence = complaint("fit", "--trainer.logger", "false")
    assert "no end" in sentence
    assert "trainer.max_steps" in sentence


@pytest.mark.parametrize(
    ("arguments", "instead"),
    [
        (["--trainer.gradient_clip_val", "0.5"], "model.gradient_clip_norm"),
        (["--trainer.accumulate_grad_batches", "4"], "data.batch_size"),
    ],
)
def test_settings_of_automatic_optimisation(complaint, arguments, instead):
    """Lightning's advice would be to switch to it, which there is no key for."""
    sentence = complaint("fit", "--config", QUICKSTART, "--trainer.logger", "false", *arguments)
    assert arguments[0].removeprefix("--") in sentence
    assert instead in sentence


def test_unknown_command(complaint):
    sentence = complaint("fitt")
    assert "'fitt'" in sentence
    assert "'fit'" in sentence


# -- missing files -----------------------------------------------------------------------------------------------


def test_missing_configuration(complaint):
    assert "nowhere.yaml" in complaint("fit", "--config", "configs/nowhere.yaml")


def test_broken_configuration(complaint, tmp_path):
    (tmp_path / "broken.yaml").write_text("model: [1\n")
    assert "line 1" in complaint("fit", "--config", tmp_path / "broken.yaml")


@pytest.mark.parametrize("command", ["fit", "test"])
def test_missing_checkpoint(complaint, command):
    sentence = complaint(command, "--config", QUICKSTART, "--ckpt_path", "gone.ckpt")
    assert "gone.ckpt" in sentence
    assert "does not exist" in sentence


def test_last_without_a_run(complaint):
    assert "no run below runs/quickstart" in complaint("fit", "--config", QUICKSTART, "--ckpt_path", "last")


def test_damaged_checkpoint(complaint, tmp_path):
    (tmp_path / "bad.ckpt").write_bytes(b"no checkpoint")
    assert "bad.ckpt cannot be read" in complaint("fit", "--config", QUICKSTART, "--ckpt_path", "bad.ckpt")


def test_compare_without_runs(complaint):
    assert "there is no MLflow file mlflow.db" in complaint("compare", "--experiment", "quickstart")


# -- bad data ----------------------------------------------------------------------------------------------------


def test_missing_folder(complaint_about, tmp_path):
    assert str(tmp_path / "nowhere") in complaint_about(tmp_path / "nowhere")


def test_missing_clip(complaint_about, root):
    (root / "arm-2.mp4").unlink()
    sentence = complaint_about(root)
    assert "arm-2.json" in sentence
    assert "'arm-2.mp4' does not exist" in sentence


def test_truncated_video(complaint_about, root):
    whole = (root / "arm-2.mp4").read_bytes()
    (root / "arm-2.mp4").write_bytes(whole[: len(whole) // 2])
    sentence = complaint_about(root)
    assert "arm-2.mp4" in sentence
    assert "cut short" in sentence


def test_video_with_too_few_images(complaint_about, root):
    frames = [[[[0] * 3] * SIZE] * SIZE] * 3
    import numpy as np

    write_video(root / "arm-2.mp4", np.array(frames, dtype=np.uint8), 10)
    sentence = complaint_about(root)
    assert "arm-2.mp4" in sentence
    assert "no frame at" in sentence


def test_wrong_number_of_poses(complaint_about, root):
    file = root / "camera-1.json"
    content = json.loads(file.read_text())
    content["camera"]["camera_to_world"].pop()
    file.write_text(json.dumps(content))
    sentence = complaint_about(root)
    assert "camera-1.json" in sentence
    assert "camera_to_world has shape 6x4x4, expected 7x4x4" in sentence


def test_wrong_number_of_re10k_poses(complaint_about, tmp_path):
    from tests.test_configs import write_re10k

    root = write_re10k(tmp_path / "paths", num_clips=3, num_frames=4)
    file = sorted(root.glob("*.txt"))[1]
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    sentence = complaint_about(root, config=str(CONFIGS / "real_re10k.yaml"))
    assert str(file) in sentence
    assert "3 poses but 4 images" in sentence


def test_empty_split(complaint_about, tmp_path):
    clips = [camera_clip([0, 20, 40], clip_id="only", scene_id="only", domain="navigation")]
    sentence = complaint_about(write_folder(tmp_path / "one", clips))
    assert "the val split is empty: 1 clips of 1 scenes" in sentence


def test_nothing_moves(complaint_about, tmp_path):
    clips = [camera_clip([0, 0.1, 0.2], clip_id=f"c{k}", scene_id=f"s{k}", domain="navigation") for k in range(4)]
    sentence = complaint_about(write_folder(tmp_path / "still", clips))
    assert "motion_contrast can ask about none of the 4 clips" in sentence


# -- the process, and the parts -----------------------------------------------------------------------------------


def refused_process(folder, *words):
    """What a process of its own writes to its error stream when it refuses the command."""
    command = [sys.executable, "-m", "remot", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=120)
    assert done.returncode == EXIT_BAD_INPUT
    assert done.stderr.splitlines()[-1].startswith("remot: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


def test_process_exits_with_one_line(tmp_path):
    """Of a command that imports no model library, which takes seconds."""
    assert "num_framez" in refused_process(tmp_path, "data", "render", "--num_framez", "1")


@pytest.mark.slow  # test_misspelt_on_the_command_line and the test above hold its parts
def test_process_of_a_training_exits_with_one_line(tmp_path):
    said = refused_process(tmp_path, "fit", "--config", QUICKSTART, "--model.beta_kll", "0.1")
    assert "model.beta_kll" in said
    assert "model.grpo.loss.init_args.beta" in said


def test_defects_of_the_library_keep_their_traceback(monkeypatch):
    def broken(_):
        raise ZeroDivisionError

    monkeypatch.setattr("remot.commands.run", broken)
    with pytest.raises(ZeroDivisionError):
        main(["fit"])


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("data.expert", ""),  # `summary.export` is of another section, and no better than nothing
        ("data.optns.seed", "data.options.seed"),
        ("data.seeds", "data.options.seed"),  # not `model.seed`, which comes later in the alphabet
        ("model.seeds", "model.seed"),
        ("batchsize", "data.batch_size"),
        ("data.grpo", "model.grpo"),  # the same word elsewhere
    ],
)
def test_a_suggestion_prefers_the_section(wrong, nearest):
    known = ["data.batch_size", "data.options.seed", "model.grpo", "model.seed", "summary.export"]
    told = explain(f"unrecognized arguments: --{wrong} 1", known)
    assert told.partition(NEAREST)[2].strip(" )") == nearest


def test_no_suggestion_without_a_similar_key():
    assert explain("unrecognized arguments: --zzz 1", ["data.batch_size"]) == "unrecognized arguments: --zzz 1"


def test_keys_of_files_survive_bad_ones(tmp_path):
    good, broken, listing = (tmp_path / f"{name}.yaml" for name in ("good", "broken", "list"))
    good.write_text("a: {b: 1}\n")
    broken.write_text("a: [1\n")
    listing.write_text("- 1\n")
    arguments = ["fit", "--config", str(good), f"--config={broken}", str(listing), str(tmp_path / "missing.yaml")]
    assert keys_of_files(arguments) == {"a", "a.b"}


# -- sections of settings ----------------------------------------------------------------------------------------

STORE = "model.policy.feature_store"


@pytest.mark.parametrize("value", ["fs", "7", "[fs]"])
def test_a_word_in_place_of_a_section_of_settings(complaint, value):
    """There is one class that it can be, so that the name of a class is not what is missing."""
    sentence = complaint("fit", "--config", QUICKSTART, f"--{STORE}", value)
    assert sentence.startswith(f'Parser key "{STORE}": ')
    assert sentence.endswith("is no mapping of settings; give its settings by name: folder, max_gigabytes")
    assert "dot import path" not in sentence


@pytest.mark.parametrize("value", ["nan", "many", "-1", "0", ".inf", "1e999"])
def test_a_size_of_the_feature_store_that_is_no_number_above_0(complaint, tmp_path, value):
    """Before a folder for the run or for the features is made."""
    settings = [f"--{STORE}.folder", "fs", f"--{STORE}.max_gigabytes={value}"]
    sentence = complaint("fit", "--config", QUICKSTART, *settings)
    assert f"{STORE}.max_gigabytes" in sentence
    assert sentence.endswith(("give a finite number above 0, such as 50", f"expected a number, got {value}"))
    assert list(tmp_path.iterdir()) == []


def test_a_feature_store_beside_a_trained_tower(complaint, tmp_path):
    """Before the model is loaded and the run has a folder."""
    settings = [f"--{STORE}.folder", "fs", "--model.policy.train_vision", "true"]
    sentence = complaint("fit", "--config", QUICKSTART, *settings)
    assert "the vision tower is trained (train_vision: true)" in sentence
    assert sentence.endswith("leave it out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["file", "file/below", "/dev/null", "/proc/fs", "too" * 100])
def test_a_folder_of_the_feature_store_that_cannot_be_used(complaint, tmp_path, folder):
    """Before the model is loaded and the run has a folder or a place in MLflow."""
    (tmp_path / "file").write_text("")
    sentence = complaint("fit", "--config", QUICKSTART, f"--{STORE}.folder", folder)
    assert f"{STORE}.folder: " in sentence
    assert "cannot be used (" in sentence
    assert sentence.endswith("choose a folder that can be written to")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
