"""Every other command is killed at random moments, and stopped by signals: the same command again does the work."""

import contextlib
import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from PIL import Image

from remot.commands.data.sources import data_from, data_section
from remot.data.datasets.loaders import collate_prompts
from tests.data.handmade import mixed_clips, write_folder
from tests.faults.runs import Run, finish
from tests.faults.table import row
from tests.faults.test_runs import WITH_MLFLOW
from tests.tiny import model_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NUM_KILLS = 5
SETTINGS = WITH_MLFLOW | {"model.strategy": "SFT", "trainer.max_steps": 2, "held_out.enabled": "true"}
DATA = ("--config", "small.yaml")
SWEEP = "config: small.yaml\ngrid: {model.optimizer.init_args.lr: [0.001, 0.01]}\nset: {trainer.max_steps: 2}\n"

#: The words of each command, and what it writes.
COMMANDS = {
    "compare": (("compare", "--experiment", "faults", "--csv", "o.csv", "--html", "o.html"), ("o.csv", "o.html")),
    "sync": (("sync", "offline", "--tracking_uri", "sqlite:///sync.db"), ()),
    "replay": (("replay", "RUN"), ()),
    "doctor": (("doctor", *DATA), ()),
    "export": (("export", "--ckpt_path", "RUN/last.ckpt", "--out", "out", "--base_name", "a/b"), ("out",)),
    "export merged": (("export", "--ckpt_path", "RUN/last.ckpt", "--out", "out", "--merge"), ("out",)),
    "build": (("data", "build", *DATA, "--num_triplets", "120", "--out", "out"), ("out",)),
    "merge": (("data", "merge", "shards", "--out", "out"), ("out",)),
    "score": (
        ("data", "score", *DATA, "--num_prompts", "12", "--num_completions", "2", "--out", "scores.jsonl"),
        ("scores.jsonl",),
    ),
    "convert": (("data", "convert", "built", "--to", "parquet", "--out", "out"), ("out",)),
    "evaluate": (
        ("evaluate", "--benchmark", "jsonl", "--data", "q.jsonl", "--model", "MODEL", "--out", "out",
         "--batch_size", "1", "--max_new_tokens", "24"),
        ("out/scores.json", "out/replies.jsonl"),
    ),
    "sweep": (("sweep", "small_sweep.yaml"), ()),
}  # fmt: skip
#: What is another at each time it is made: a path of the folder, a time, an id of the run.
VARYING = ("README.md", "o.html", "o.csv", "scores.json", "manifest.json")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a trained run, one that was not delivered, shards of prompts, questions, and a skipped step."""
    import mlflow  # noqa: F401 (imported once for all processes)

    folder = tmp_path_factory.mktemp("prepared")
    write_folder(folder / "clips", mixed_clips(4))
    Image.new("RGB", (56, 56)).save(folder / "a.png")
    rows = [{"images": ["a.png"], "question": f"How many {k}?", "answer": k, "task": "count"} for k in range(12)]
    (folder / "q.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    code, text = finish(folder, **SETTINGS)
    assert code == 0, text
    dead = {"trainer.logger.init_args.tracking_uri": "http://127.0.0.1:9", "trainer.default_root_dir": "offline"}
    code, text = finish(folder, "--offline", **SETTINGS | dead)
    assert code == 0, text
    (run,) = folder.glob("runs/*/*")
    shutil.copy(run / "config.yaml", folder / "small.yaml")
    (run / "not_finite").mkdir()
    shutil.copy(run / "last.ckpt", run / "not_finite" / "step-2.ckpt")
    record = {"step": 2, "state_step": 2, "batch": 2, "phase": "SFT", "reason": "the loss is nan"}
    skipped = record | {"prompts": prompts_of(folder, addresses=(4, 5))}
    (run / "not_finite" / "steps.jsonl").write_text(json.dumps(skipped) + "\n")
    for out, shard in (("shards/1", "1/2"), ("shards/2", "2/2"), ("built", "1/1")):
        build = Run(folder, ("data", "build", *DATA, "--num_triplets", "60", "--out", out, "--shard", shard))
        assert build.end() == 0, build.text()
    (folder / "small_sweep.yaml").write_text(SWEEP)
    return folder


def prompts_of(folder, addresses):
    """What the record of a skipped step holds of these prompts of the run's data."""
    with contextlib.chdir(folder):
        data = data_from(data_section([Path("small.yaml")], None, None))
        data.setup()
        batch = collate_prompts([data.prompts["train"][address] for address in addresses])
    return [
        {"prompt_id": question.prompt_id, "clip_id": clip_id, "text": question.text}
        for question, clip_id in zip(batch.questions, batch.clip_ids, strict=True)
    ]


def arguments(name, folder):
    (run,) = folder.glob("runs/faults/*")
    places = {"RUN": str(run.relative_to(folder)), "MODEL": str(model_folder())}
    return [places.get(word, word.replace("RUN/", f"{places['RUN']}/")) for word in COMMANDS[name][0]]


def content(folder, name):
    """Bytes of what a command wrote, but for what holds times and paths, and names of all else in the folder."""
    outputs = [folder / output for output in COMMANDS[name][1]]
    files = [file for one in outputs for file in ([one] if one.is_file() else sorted(one.rglob("*"))) if file.is_file()]
    return {str(file.relative_to(folder)): file.name in VARYING or file.read_bytes() for file in files}


def names(folder):
    """All there is but logs of this test, what is named after runs, and what a database leaves beside it while open."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.name.startswith(("log-", "sync.db-", "mlflow.db-")) and not {"runs", "mlruns"} & {*path.parts}
    }


def finished_cells(folder):
    records = [json.loads(file.read_text()) for file in folder.glob("runs/*/*/run.json")]
    tags = [one["tags"] for one in records if one["state"] == "finished"]
    return sorted(one["remot.cell"] for one in tags if "remot.cell" in one)


def is_sentence(text):
    return "Traceback" not in text and text.rstrip().splitlines()[-1].startswith("remot: ")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_was_killed_or_stopped_does_its_work_when_it_is_run_again(prepared, tmp_path, name):
    generator, fresh = random.Random(name), iter(range(100))

    def workplace():
        folder = tmp_path / f"{name.replace(' ', '-')}-{next(fresh)}"
        shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns("log-*"))
        return folder

    folder = workplace()
    whole, started = Run(folder, arguments(name, folder)), time.monotonic()
    assert whole.end() == 0, whole.text()
    seconds, wanted, wanted_names = time.monotonic() - started, content(folder, name), names(folder)
    folder, killed = workplace(), 0
    for _ in range(2 * NUM_KILLS):  # one after another in one folder, so that what each leaves is there for the next
        run = Run(folder, arguments(name, folder))
        time.sleep(generator.uniform(0.1, 0.95) * seconds)
        code = run.send(signal.SIGKILL).end()
        killed += code == -signal.SIGKILL
        assert code in (0, 2, -signal.SIGKILL), run.text()
        assert code != 2 or is_sentence(run.text()), run.text()
        if killed == NUM_KILLS:
            break
        if code != -signal.SIGKILL:  # it was done before, so the machine is quicker than it was
            folder, seconds = workplace(), 0.7 * seconds
    again = Run(folder, arguments(name, folder))
    code = again.end()
    assert code == 0 or (code == 2 and is_sentence(again.text())), again.text()
    assert content(folder, name) == wanted
    assert name != "sweep" or finished_cells(folder) == ["lr=0.001", "lr=0.01"]
    assert names(folder) - wanted_names <= {"out/.lock", "out/.partial"}
    row(f"SIGKILL, {name}", killed, killed)
    for number, delay in ((signal.SIGTERM, 0.5), (signal.SIGINT, 0.5)):
        folder = workplace()
        run = Run(folder, arguments(name, folder))
        time.sleep(delay * seconds)
        code = run.send(number).end()
        if code != 0:  # it was not done before
            assert code == 128 + number, run.text()
            assert is_sentence(run.text()) or name == "sweep", run.text()
            assert "Traceback" not in run.text()
        again = Run(folder, arguments(name, folder))
        assert again.end() in (0, 2), again.text()
        assert "Traceback" not in again.text()
        assert content(folder, name) == wanted
    row(f"SIGTERM and SIGINT, {name}", 2, 2)
