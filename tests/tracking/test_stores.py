"""What a real run leaves in MLflow, in each kind of store, a server on this machine among them, and without MLflow."""

import csv
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from remot.cli import main
from remot.tracking import absolute_uri, flatten, quiet_mlflow
from tests.helpers import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("parser_of_one_subcommand")]
LONG = "x" * 7000
SMALL = {
    "data.num_test_prompts": 8,
    "data.num_train_prompts_per_epoch": 64,
    "data.batch_size": 2,
    "model.grpo.num_completions": 2,
    "model.grpo.max_new_tokens": 40,
    "samples.every_n_steps": 1,
}


def fit(*words):
    settings = [f"--{key}={value}" for key, value in SMALL.items()]
    main(["fit", "--config", str(PROJECT / "configs" / "quickstart.yaml"), *settings, *words])


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(params=["sqlite", "folder", "server"])
def store(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quiet_mlflow()
    if request.param != "server":
        yield "sqlite:///mlflow.db" if request.param == "sqlite" else str(tmp_path / "mlruns")
        return
    uri = f"http://127.0.0.1:{(port := free_port())}"
    places = ["--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", str(tmp_path / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *places]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen([*command, "--workers", "1"], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    assert urllib.request.urlopen(f"{uri}/health", timeout=5).status == 200
                    break
                except OSError:
                    assert time.monotonic() < deadline, (tmp_path / "server.log").read_text()
                    time.sleep(0.3)
            yield uri
        finally:
            process.terminate()
            process.wait(30)


def test_a_run_is_complete_in_mlflow_and_goes_on_when_it_is_continued(store, tmp_path):
    from mlflow import MlflowClient

    def text(name):
        return Path(client.download_artifacts(run.info.run_id, name, str(tmp_path))).read_text()

    place = f"--trainer.logger.init_args.tracking_uri={store}"
    tags = json.dumps({"note": LONG[:100], "long": LONG})
    fit(place, "--trainer.max_steps=1", f"--tags={tags}")
    fit(place, "--trainer.max_steps=2", f"--tags={tags}", "--ckpt_path=last")
    client = MlflowClient(absolute_uri(store))
    experiment = client.get_experiment_by_name("quickstart")
    (run,) = client.search_runs([experiment.experiment_id], "params.`data.batch_size` = '2'")
    assert run.info.status == "FINISHED"

    config = yaml.safe_load(text("config.yaml"))
    wanted = {key: str(value) for key, value in flatten(config)}
    held = run.data.params
    as_list = str.maketrans("()", "[]")  # YAML has no tuples
    different = {
        key for key, value in wanted.items() if held.get(key, "").translate(as_list) != value.translate(as_list)
    }
    later = {"config", "ckpt_path", "trainer.max_steps", "tags.long"}
    assert {key for key in different - later if not key.startswith("trainer.logger.")} == set()
    assert held["tags.long"].startswith("sha256:")
    assert json.loads(text("long_settings.json"))["tags.long"] == LONG

    assert run.data.tags["note"] == LONG[:100]
    assert {"remot.git_commit", "remot.version", "remot.torch", "remot.device", "remot.strategy"} <= set(run.data.tags)
    data = json.loads(text("dataset.json"))
    assert data["clips"] == len(data["sha256"]) > 100
    assert set(data["splits"]) == {"train", "val", "test"}
    (dataset,) = run.inputs.dataset_inputs
    assert run.data.tags["remot.data_sha256"].startswith(dataset.dataset.digest)
    assert "torch==" in text("environment.txt")

    assert {"device/memory_gib", "device/cpu_cores", "cost/seconds", "cost/sampled_tokens"} <= set(run.data.metrics)
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")]
    assert steps == [0, 1]
    assert [point.step for point in client.get_metric_history(run.info.run_id, "eval/final/partial")] == [1, 2]
    pages = {one.path for one in client.list_artifacts(run.info.run_id, "samples")}
    assert {"samples/held_out_base.html", "samples/held_out_final.html", "samples/step_000001.html"} <= pages
    answers = text("held_out_answers.jsonl").splitlines()
    assert len(answers) == 8
    assert {"base", "final"} <= set(json.loads(answers[0]))
    main(["compare", "--experiment", "quickstart", "--tracking_uri", store, "--html", "c.html", "--png", "null"])
    assert "1 base → 1 trained" in (tmp_path / "c.html").read_text()


@pytest.mark.parametrize("logger", ["CSVLogger", "TensorBoardLogger"])
def test_with_another_logger_pages_go_to_the_folder_and_numbers_to_the_logger(logger, tmp_path, monkeypatch, capsys):
    if logger == "TensorBoardLogger":
        pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    fit("--trainer.max_steps=1", f"--trainer.logger={logger}", "--trainer.logger.save_dir=logs")
    out = capsys.readouterr().out
    (folder,) = (tmp_path / "runs" / "default").iterdir()
    (line,) = [line for line in out.splitlines() if line.startswith("pages")]
    assert str(folder) in line
    assert logger in line
    for name in (
        "samples/held_out_final.html",
        "samples/step_000001.html",
        "final_table.txt",
        "dataset.json",
        "environment.txt",
    ):
        assert (folder / name).is_file(), name
    if logger == "CSVLogger":
        (file,) = tmp_path.rglob("metrics.csv")
        columns = set(csv.DictReader(file.open(newline="")).fieldnames)
        assert {"train/loss", "eval/final/partial", "device/memory_gib", "cost/seconds"} <= columns
    else:
        assert list(tmp_path.rglob("events.out.tfevents*"))
    record = json.loads((folder / "run.json").read_text())
    assert (record["state"], record["step"], record["mlflow"]) == ("finished", 1, None)
    assert record["settings"]["data.batch_size"] == "2"
    main(["compare", "--runs", str(folder), "--png", "null"])
    assert "GRPO-seed0" in capsys.readouterr().out
