"""remot-bench as a task of lmms-eval, and the model class that answers it; lmms-eval's own modules are stubbed."""

import importlib.util
import json
import sys
from dataclasses import dataclass
from types import ModuleType

import pytest
import torch
import yaml
from PIL import Image

from remot.cli import main
from remot.errors import ConfigError
from remot.evaluation.benchmarks.base import ModelReply
from remot.evaluation.benchmarks.harness import bench_task
from remot.evaluation.benchmarks.harness.bench_task import (
    TASK,
    doc_to_messages,
    mean_score,
    process_results,
    write_task,
)
from remot.evaluation.benchmarks.harness.results import recorded_key
from remot.evaluation.benchmarks.media import shown_batch
from remot.evaluation.benchmarks.remot_bench import RemotBench
from remot.evaluation.benchmarks.replies import ReplyStore
from remot.evaluation.benchmarks.responders import AnswerSettings, LocalResponder
from remot.models import ModelSource, VLMPolicy
from tests.datatools.builds import built, plain_root
from tests.tiny import model_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("task")
    return built(plain_root(base / "clips"), base / "out", 20)[0]


@pytest.fixture(scope="module")
def docs(folder, tmp_path_factory):
    file = write_task(folder, tmp_path_factory.mktemp("written") / "task")
    return [json.loads(line) for line in (file.parent / "rows.jsonl").read_text().splitlines()]


def test_the_folder_is_a_task(folder, tmp_path):
    file = write_task(folder, tmp_path / "task")
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_constructor("!function", lambda _, node: node.value)
    held = yaml.load(file.read_text(), loader)
    assert held["task"] == TASK
    assert held["dataset_kwargs"]["data_files"]["test"] == str(tmp_path / "task" / "rows.jsonl")
    assert held["generation_kwargs"]["max_new_tokens"] == RemotBench.max_new_tokens
    assert held["reasoning_tags"] == "none"  # the format is judged on the whole reply
    assert [one["metric"] for one in held["metric_list"]] == list(bench_task.METRICS)
    functions = {value.removeprefix("utils.") for value in held.values() if str(value).startswith("utils.")}
    names = {}
    exec((tmp_path / "task" / "utils.py").read_text(), names)
    assert functions | {"mean_score"} <= set(names)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        write_task(folder, tmp_path / "file")


def test_scores_are_those_of_remot_bench(folder, docs):
    benchmark = RemotBench()
    prompts = benchmark.read(folder)
    assert [doc["id"] for doc in docs] == [prompt.prompt_id for prompt in prompts]
    for doc, prompt in zip(docs, prompts, strict=True):
        for reply in (prompt.row.response, "<answer>AAA</answer>", "", "<think>x</think><answer>AB</answer>"):
            wanted = benchmark.judged(prompt, ModelReply(reply))
            found = process_results(doc, [reply])
            assert {name: one["score"] for name, one in found.items()} == {
                name: score for name, score in wanted.scores.items() if score == score
            }
            assert all((one["scene"], one["parsed"]) == (prompt.scene, wanted.parsed) for one in found.values())
    assert mean_score([{"score": 1.0}, {"score": 0.5}]) == 0.75


def test_messages_hold_images_and_then_the_question(docs):
    (message,) = doc_to_messages(docs[0])
    kinds = [part["type"] for part in message["content"]]
    assert kinds == ["image"] * 3 + ["text"]
    assert message["content"][-1]["text"] == docs[0]["question"]
    assert isinstance(message["content"][0]["url"], Image.Image)
    (message,) = doc_to_messages({**docs[0], "image_seconds": [0.0, 0.5, 2.0]})
    assert message["content"][0] == {"type": "video", "url": docs[0]["images"]}


@dataclass
class Result:
    text: str
    token_counts: object


@dataclass
class Counts:
    output_tokens: int


@dataclass
class Request:
    args: tuple


@pytest.fixture
def model_class(monkeypatch):
    """The class, with what it imports of lmms-eval in place."""
    base = type("lmms", (), {"__init__": lambda self: setattr(self, "task_dict", {})})
    contents = {"": {}, ".api": {}, ".api.model": {"lmms": base}}
    contents[".api.instance"] = {"GenerationResult": Result, "Instance": Request, "TokenCounts": Counts}
    for name, held in contents.items():
        module = ModuleType(f"lmms_eval{name}")
        module.__dict__.update(held)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "remot.evaluation.benchmarks.harness.model", raising=False)
    from remot.evaluation.benchmarks.harness.model import RemotModel

    yield RemotModel
    sys.modules.pop("remot.evaluation.benchmarks.harness.model", None)


def requests_of(docs, **generation):
    return [Request((doc["question"], doc_to_messages, generation, k, TASK, "test")) for k, doc in enumerate(docs)]


def test_the_class_answers_as_the_weights_do_and_records_it(folder, docs, model_class, tmp_path):
    prompts = RemotBench().read(folder)[:3]
    policy = VLMPolicy(ModelSource(str(model_folder())), with_reference=False)
    wanted = LocalResponder("w", {}, lambda: policy).answer(shown_batch(prompts, "b"), AnswerSettings(max_new_tokens=6))
    model = model_class(str(model_folder()), device="cpu", batch_size=3, record=str(tmp_path / "record.jsonl"))
    model.task_dict = {TASK: {"test": docs}}
    found = model.generate_until(requests_of(docs[:3], max_new_tokens=6, temperature=0, do_sample=False))
    assert [one.text for one in found] == [one.text for one in wanted]
    assert [one.token_counts.output_tokens for one in found] == [one.num_tokens for one in wanted]
    names = [f"{TASK}/{k}" for k in range(3)]
    del model
    store = ReplyStore(tmp_path / "record.jsonl")
    assert [store.get(recorded_key(name, one.text)) for name, one in zip(names, wanted, strict=True)] == wanted


def test_what_the_class_shows_and_asks_for(docs, model_class):
    asked = []

    class Responder:
        def answer(self, batch, settings):
            asked.append((batch, settings))
            return [ModelReply("one. two", 3)] * len(batch)

    model = model_class(str(model_folder()), batch_size=2, seed=4)
    model._responder = Responder()
    timed = {**docs[0], "image_seconds": [0.0, 0.5, 2.0]}
    model.task_dict = {TASK: {"test": [timed, docs[1]]}}
    sampled = {"temperature": 0.5, "top_p": 0.9, "max_new_tokens": 7, "until": ["."]}
    requests = requests_of([timed, docs[1]], **sampled)
    requests[1].args = (*requests[1].args[:2], {"max_new_tokens": 5}, *requests[1].args[3:])
    assert [one.text for one in model.generate_until(requests)] == ["one", "one. two"]
    (first, settings), (second, plain) = asked
    assert first.videos[0][0].pts_seconds == (0.0, 0.5, 2.0)
    assert [image.shape[0] for image in second.images[0]] == [3, 3, 3]
    assert second.images[0][0].dtype == torch.uint8
    assert (settings.sampling.temperature, settings.sampling.top_p, settings.max_new_tokens) == (0.5, 0.9, 7)
    assert (plain.sampling.is_greedy, plain.max_new_tokens, plain.seed) == (True, 5, 4)
    assert first.questions[0].prompt_id == f"{TASK}/0"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("lmms_eval") is None, reason="needs lmms-eval")
def test_lmms_eval_gives_the_scores_of_remot_evaluate(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    common = [
        "evaluate",
        "--benchmark",
        "remot-bench",
        "--data",
        str(folder),
        "--model",
        "remot-tiny",
        "--device",
        "cpu",
    ]
    main([*common, "--out", str(tmp_path / "ours")])
    main([*common, "--harness", "lmms-eval", "--harness_model", "remot", "--out", str(tmp_path / "theirs")])
    ours, theirs = (json.loads((tmp_path / name / "scores.json").read_text()) for name in ("ours", "theirs"))
    for name in ("overall", "partial", "partial_strict", "logic", "format"):
        assert theirs["metrics"][f"{TASK}/{name}"]["mean"] == pytest.approx(ours["metrics"][name]["mean"])
    assert theirs["weights_hash"] == ours["weights_hash"]
