"""``remot evaluate`` from the command line: what it refuses, and the same answers from a folder and a checkpoint."""

import json
from pathlib import Path

import pytest
import torch

from remot.cli import EXIT_BAD_INPUT, main
from remot.commands import evaluate_data
from remot.commands.evaluate_data import results_folder
from remot.commands.evaluate_weights import (
    EndpointChoice,
    WeightChoice,
    folder_digest,
    responder_for,
)
from remot.commands.policies import load_trained, own_config, read_trained
from remot.errors import CheckpointError, ConfigError
from remot.models import LoRA, ModelSource, VLMPolicy
from remot.models.export import save_trained
from remot.rollout.servers.messages import encode_png
from remot.strategies.checkpoint import shapes_of
from tests.rollout.fake_server import reply, serving
from tests.tiny import model_folder, randomise_

ROWS = [
    {
        "id": "q1",
        "images": ["a.png"],
        "question": "Which way?",
        "options": ["left", "right"],
        "answer": "A",
        "scene": "s",
    },
    {"id": "q2", "images": ["a.png", "b.png"], "question": "How many?", "answer": 2, "scene": "t"},
    {"id": "q3", "images": ["b.png"], "question": "What?", "answer": "ball", "scene": "t"},
]


@pytest.fixture
def rows(tmp_path):
    file = tmp_path / "rows" / "q.jsonl"
    file.parent.mkdir()
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, value in (("a.png", 10), ("b.png", 200)):
        (file.parent / name).write_bytes(encode_png(torch.full((3, 64, 64), value, dtype=torch.uint8)))
    return file


def evaluate(capsys, *words):
    main(["evaluate", *map(str, words)])
    return capsys.readouterr().out


def complaint(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *map(str, words)])
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (EXIT_BAD_INPUT, "")
    return err


def choice(model=None, adapter=None, ckpt_path=None):
    return WeightChoice(model, adapter, ckpt_path, None, None, "cpu")


def adapted(folder):
    """A policy with adapters that change what it says, and the folder it is exported to."""
    policy = VLMPolicy(ModelSource(str(model_folder())), LoRA(rank=2, alpha=4.0), with_reference=False)
    randomise_((p for name, p in policy.named_parameters() if "lora_B" in name), seed=1)
    save_trained(policy, folder, step=7)
    return policy


def checkpoint_of(policy, file, **changes):
    settings = {
        "source": {"pretrained": str(model_folder())},
        "adaptation": {"class_path": "remot.LoRA", "init_args": {"rank": 2, "alpha": 4.0}},
    }
    state = {f"policy.{name}": p.detach() for name, p in policy.named_parameters() if name in policy.trained_names}
    facts = {"base_model": policy.base_name, "trained": shapes_of(state)}
    held = {"state_dict": state, "remot": facts, "remot_config": json.dumps({"model": {"policy": settings}})}
    torch.save(held | changes, file)
    return file


def test_adapter_and_checkpoint_answer_alike_and_unlike_the_base(tmp_path, rows, capsys):
    policy = adapted(tmp_path / "adapter")
    file = checkpoint_of(policy, tmp_path / "last.ckpt")
    common = ("--benchmark", "jsonl", "--data", rows, "--max_new_tokens", 6, "--batch_size", 2, "--device", "cpu")
    weights = {
        "base": ("--model", model_folder()),
        "adapter": ("--adapter", tmp_path / "adapter"),
        "checkpoint": ("--ckpt_path", file),
    }
    answers = {}
    for name, chosen in weights.items():
        out = evaluate(capsys, *common, *chosen, "--out", tmp_path / name)
        assert "accuracy" in out
        answers[name] = (tmp_path / name / "answers.jsonl").read_bytes()
    assert answers["adapter"] == answers["checkpoint"] != answers["base"]
    scores = json.loads((tmp_path / "adapter" / "scores.json").read_text())
    assert scores["num_answered"] == 3
    assert "step 7" in scores["weights"]
    assert scores["settings"] == {"decoding": "greedy", "max_new_tokens": 6}
    hashes = {name: json.loads((tmp_path / name / "scores.json").read_text())["weights_hash"] for name in weights}
    assert hashes["adapter"] == hashes["checkpoint"] != hashes["base"]


def test_the_same_command_again_prints_the_same_and_loads_nothing(tmp_path, rows, capsys, monkeypatch):
    words = (
        "--benchmark",
        "jsonl",
        "--data",
        rows,
        "--max_new_tokens",
        4,
        "--model",
        model_folder(),
        "--device",
        "cpu",
    )
    monkeypatch.chdir(tmp_path)
    first = evaluate(capsys, *words)
    monkeypatch.setattr(ModelSource, "load", None)
    assert evaluate(capsys, *words) == first
    (folder,) = (tmp_path / "evaluations").iterdir()
    assert folder.name.startswith("jsonl-rows-q.jsonl-")
    assert (folder / "table.txt").read_text().split() == first.rpartition("\nevaluations")[0].split()


def test_a_default_folder_names_what_was_asked_of_whom_in_whole_words():
    run = Path("runs/quickstart/GRPO-seed0-20261130-145432")
    name = results_folder(["remot-bench", None, run / "last.ckpt", "sampled"], {"seed": 0}).name
    assert name.startswith("remot-bench-GRPO-seed0-20261130-145432-last.ckpt-sampled-")
    assert results_folder(["b", "../adapter"], {}).name.startswith("b-adapter-")
    long = results_folder(["b", "w" * 30 + "-" + "v" * 50 + "-end"], {}).name
    assert long.startswith("b-" + "v" * 50 + "-end-")
    assert len(results_folder(["b", "x" * 400], {}).name) == 2 + 60 + 9


def test_another_evaluation_of_the_same_weights_has_a_folder_of_its_own(rows, capsys, monkeypatch):
    """It would replace the answers of the first; more prompts of the same add to them."""
    monkeypatch.chdir(rows.parent)
    (rows.parent / "other.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    words = ["--benchmark", "jsonl", "--data", rows.name, "--max_new_tokens", 2, "--model_name", "m", "--endpoint"]
    with serving(lambda *_: (200, reply("<answer>A</answer>"), {})) as (url, asked):
        for more in (("--limit", 1), (), ("--temperature", 1), ("--max_new_tokens", 3), ("--data", "other.jsonl")):
            evaluate(capsys, *words, url, *more)
    folders = Path("evaluations").iterdir()
    assert sorted((folder / "answers.jsonl").read_text().count("\n") for folder in folders) == [1, 3, 3, 3]
    assert len(asked) == 11  # the batch of the first prompt alone is answered again as a whole


@pytest.mark.parametrize("has_file", [False, True])
def test_a_failure_before_the_first_reply_leaves_no_folder(tmp_path, rows, capsys, has_file):
    out = tmp_path / "out"
    if has_file:
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    with serving(lambda *_: (400, {"error": "no"}, {})) as (url, _):
        words = ("--benchmark", "jsonl", "--data", rows, "--endpoint", url, "--model_name", "m", "--out", out)
        assert "400" in complaint(capsys, *words)
    assert out.exists() == has_file
    assert not has_file or [file.name for file in out.iterdir()] == ["notes.txt"]


def test_an_endpoint(tmp_path, rows, capsys):
    def answer(_, body):
        text = body["messages"][0]["content"][-1]["text"]
        said = {"Which": "<answer>A</answer>", "How": "<answer>2</answer>", "What?": "a box"}
        return 200, reply(said[text.split()[0]]), {}

    with serving(answer) as (url, asked):
        words = ("--benchmark", "jsonl", "--data", rows, "--endpoint", f"{url}/v1", "--model_name", "m")
        evaluate(capsys, *words, "--out", tmp_path / "out")
        evaluate(capsys, *words, "--out", tmp_path / "out")
    assert len(asked) == 3
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["metrics"]["accuracy"]["mean"] == pytest.approx(2 / 3)
    assert scores["weights"] == f"m at {url}"


def test_missing_media_are_named_before_a_model_is_looked_for(tmp_path, rows, capsys):
    (rows.parent / "b.png").unlink()
    words = ("--benchmark", "jsonl", "--data", rows, "--max_new_tokens", 2)
    assert "b.png" in complaint(capsys, *words, "--model", tmp_path / "nothing")
    out = evaluate(capsys, *words, "--model", model_folder(), "--skip_missing", "--out", tmp_path / "o")
    assert "prompts left out: 2" in out
    scores = json.loads((tmp_path / "o" / "scores.json").read_text())
    assert (scores["num_answered"], scores["num_skipped"], scores["num_missing_files"]) == (1, 2, 1)
    limited = evaluate(capsys, *words, "--model", model_folder(), "--limit", "1", "--out", tmp_path / "o")
    assert "only the first 1 of 3 prompts" in limited
    assert json.loads((tmp_path / "o" / "scores.json").read_text())["limit"] == 1


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (("--benchmark", "jsnol", "--model", "remot-tiny"), "did you mean 'jsonl'"),
        (("--benchmark", "jsonl"), "--model"),
        (("--benchmark", "jsonl", "--model", "m", "--endpoint", "http://h"), "--endpoint"),
        (("--benchmark", "jsonl", "--endpoint", "http://h"), "--model_name"),
        (("--benchmark", "jsonl", "--endpoint", "http://h", "--model_name", "m", "--api_key_variable", "NO_K"), "NO_K"),
        (("--benchmark", "jsonl", "--adapter", "a", "--ckpt_path", __file__), "--ckpt_path"),
        (("--benchmark", "jsonl", "--ckpt_path", "nothing.ckpt"), "nothing.ckpt"),
        (("--benchmark", "jsonl", "--model", "remot-tiny", "--limit", "0"), "--limit"),
        (("--benchmark", "jsonl", "--model", "remot-tiny", "--temperature", "-1"), "temperature"),
        (("--benchmark", "jsonl", "--model", "remot-tiny", "--batch_size", "0"), "--batch_size"),
    ],
)
def test_what_does_not_fit_is_refused(rows, capsys, words, fact):
    assert fact in complaint(capsys, "--data", rows, *words)


@pytest.mark.slow
def test_data_may_be_left_out_for_remot_bench_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "--data" in complaint(capsys, "--benchmark", "jsonl", "--model", model_folder())
    assert "did you mean 'remot-bench'" in complaint(capsys, "--benchmark", "remot-bensh", "--model", model_folder())
    assert "nowhere" in complaint(capsys, "--benchmark", "remot-bench", "--model", "nowhere")
    assert not evaluate_data.BENCH_FOLDER.exists()
    monkeypatch.setattr(evaluate_data, "NUM_BENCH_PROMPTS", 14)
    words = ("--benchmark", "remot-bench", "--model", model_folder(), "--max_new_tokens", 2, "--device", "cpu")
    first = evaluate(capsys, *words)
    manifest = (evaluate_data.BENCH_FOLDER / "manifest.json").read_bytes()
    assert evaluate(capsys, *words) == first
    assert (evaluate_data.BENCH_FOLDER / "manifest.json").read_bytes() == manifest


def test_a_build_that_failed_leaves_no_benchmark(tmp_path, monkeypatch):
    from remot.datatools.build import prompts

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prompts, "build", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(ConfigError, match="disk full"):
        evaluate_data.data_of(evaluate_data.RowChoice("remot-bench"))
    assert not evaluate_data.BENCH_FOLDER.exists()


def test_an_adapter_of_another_model_is_refused(tmp_path):
    adapted(tmp_path / "adapter")
    with pytest.raises(ConfigError, match="remot-tiny"):
        responder_for(choice(model="remot-tiny", adapter=tmp_path / "adapter"))
    with pytest.raises(ConfigError, match="adapter_config"):
        responder_for(choice(adapter=model_folder()))
    assert responder_for(choice(model=str(model_folder()), adapter=tmp_path / "adapter")).description


def test_checkpoints_are_not_trusted(tmp_path):
    policy = adapted(tmp_path / "adapter")
    for config in ("", "[]", json.dumps({"model": {}}), "[" * 100_000):
        file = checkpoint_of(policy, tmp_path / "a.ckpt", remot_config=config)
        with pytest.raises(CheckpointError, match=r"a\.ckpt"):
            responder_for(choice(ckpt_path=file))
    held = {"remot_config": json.dumps({"model": {"policy": {"adaptation": {"class_path": "os.system"}}}})}
    with pytest.raises(CheckpointError, match=r"os\.system"):
        own_config(held, tmp_path / "a.ckpt")


def test_a_checkpoint_of_other_shapes_is_refused(tmp_path):
    policy = adapted(tmp_path / "adapter")
    empty, whole = (
        checkpoint_of(policy, tmp_path / "a.ckpt", state_dict={}),
        checkpoint_of(policy, tmp_path / "b.ckpt"),
    )
    for rank, file, fact in ((2, empty, "lora_A"), (3, whole, "parameters")):
        other = VLMPolicy(ModelSource(str(model_folder())), LoRA(rank=rank, alpha=4.0), with_reference=False)
        with pytest.raises(CheckpointError, match=fact):
            load_trained(other, read_trained(file))


def test_changed_weights_are_other_weights(tmp_path):
    """The folder's hash, and with it the key of each reply, follows from the content of its files."""
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"1")
    first = folder_digest(str(folder))
    (folder / "notes.md").write_text("x")
    assert folder_digest(str(folder)) == first
    (folder / "model.safetensors").write_bytes(b"2")
    assert folder_digest(str(folder)) != first
    assert folder_digest("Qwen/Qwen3-VL-4B") == "Qwen/Qwen3-VL-4B"


def test_adapters_that_differ_in_one_number_or_their_scale_have_other_hashes(tmp_path):
    policy = adapted(tmp_path / "adapter")
    same = responder_for(choice(adapter=tmp_path / "adapter")).weights_hash
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 8.0}))
    scaled = responder_for(choice(adapter=tmp_path / "adapter")).weights_hash
    with torch.no_grad():
        next(p for name, p in policy.named_parameters() if "lora_B" in name)[0, 0] += 1e-6
    save_trained(policy, tmp_path / "other", step=7)
    moved = responder_for(choice(adapter=tmp_path / "other")).weights_hash
    assert len({same, scaled, moved}) == 3
    assert responder_for(choice(), EndpointChoice("http://h", "m", "", 2, None, 5.0)).weights_hash == ""


def test_a_key_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    found = responder_for(choice(), EndpointChoice("http://h:1/v1/", "m", "SOME_KEY", 2, None, 5.0))
    assert found.description == "m at http://h:1"
    assert "secret" not in str(found.identity)
