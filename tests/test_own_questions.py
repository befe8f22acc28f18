"""Twenty questions about five videos in one JSON file become a trained, scored and exported model in three commands."""

import json
import re
import shlex

import numpy as np
import pytest
import yaml

from remot.cli import main
from remot.data.media import write_video
from tests.helpers import PROJECT

TUTORIAL = PROJECT / "docs" / "tutorials" / "own_questions.md"
pytestmark = pytest.mark.usefixtures("parser_of_one_subcommand")


def write_questions(folder):
    """Four types of answers about each of five grey videos."""
    rows = []
    for number in range(5):
        frames = np.full((6, 32, 32, 3), 40 * number, np.uint8)
        write_video(folder / f"v{number}.mp4", frames, 2)
        video = {"video": f"v{number}.mp4"}
        rows += [
            video | {"question": "Which?", "options": ["left", "right"], "answer": "B", "task": "side"},
            video | {"question": "What?", "answer": "ball", "task": "what"},
            video | {"question": "How many?", "answer": number, "task": "count"},
            video | {"question": "When?", "answer": [[0.5, 1.5]], "start": 0.5, "task": "when"},
        ]
    (folder / "questions.json").write_text(json.dumps(rows))


def run(command):
    main([str(word) for word in command])


def fit_of(strategy, *more):
    """``remot fit`` as the tutorial writes it, with steps as small as can be."""
    files = ["--config", "quickstart.yaml", "--config", "data/questions.yaml", "--data.records", "questions.json"]
    small = [
        "--data.options.num_frames",
        2,
        "--data.batch_size",
        2,
        "--trainer.max_steps",
        1,
        "--trainer.logger",
        "false",
    ]
    budgets = ["--model.evaluation.max_new_tokens", 4, "--model.grpo.max_new_tokens", 4]
    sizes = ["--model.grpo.num_completions", 2, "--model.micro_batch_prompts", 2]
    return ["fit", *files, *small, *budgets, *sizes, "--model.strategy", strategy, *more]


def test_three_commands(tmp_path, monkeypatch, capsys):
    """The facts, with one step: what is held out, which rows are scored, and an export that computes the same."""
    monkeypatch.chdir(tmp_path)
    write_questions(tmp_path)
    run(fit_of("SFT"))
    told = capsys.readouterr()
    assert "train: 16 prompts, 8 distinct sets of frames" in told.out  # four videos, whole and in part
    [ckpt_path] = tmp_path.glob("runs/*/*/last.ckpt")
    held_out = json.loads((ckpt_path.parent / "held_out.json").read_text())
    assert (held_out["num_prompts"], held_out["num_scenes"]) == (4, 1)
    assert {f"task/{task}/success" for task in ("side", "what", "count", "when")} <= set(held_out["sampled"])

    scored = ["--benchmark", "jsonl", "--data", "questions.json", "--num_frames", 2, "--max_new_tokens", 4]
    run(["evaluate", "--ckpt_path", ckpt_path, *scored, "--out", "scores"])
    answers = [json.loads(line) for line in (tmp_path / "scores" / "answers.jsonl").read_text().splitlines()]
    assert [answer["id"] for answer in answers] == [f"questions.json:{k}" for k in range(1, 21)]
    assert {answer["scene"] for answer in answers} == {f"v{k}.mp4" for k in range(5)}

    run(["export", "--ckpt_path", ckpt_path, "--out", "model"])
    assert (tmp_path / "model" / "adapter_config.json").is_file()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "questions.json" in card
    assert "task/count/success" in card


@pytest.mark.slow
def test_a_step_of_grpo(tmp_path, monkeypatch):
    """The reward is a metric of its own, and the recipe's."""
    monkeypatch.chdir(tmp_path)
    write_questions(tmp_path)
    run(fit_of("GRPO", "--held_out.enabled", "false"))
    [folder] = tmp_path.glob("runs/*/GRPO-*")
    reward = yaml.safe_load((folder / "config.yaml").read_text())["model"]["grpo"]["init_args"]["reward"]
    assert reward["class_path"] == "remot.rewards.AnswerReward"
    assert reward["init_args"]["without_element"] == 0.5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial(tmp_path, monkeypatch):
    """Its script and its three commands, from an empty folder; it learns what it says."""
    monkeypatch.chdir(tmp_path)
    text = TUTORIAL.read_text()
    [script] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(script, str(TUTORIAL), "exec"), {})
    commands = [shlex.split(block)[1:] for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)]
    assert [words[0] for words in commands] == ["fit", "evaluate", "export"]
    assert len(json.loads((tmp_path / "questions.json").read_text())) == 20
    for words in commands:
        run([str(next(tmp_path.glob(word))) if "*" in word else word for word in words])
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())["metrics"]
    assert scores["accuracy"]["mean"] >= 0.9
    assert scores["task/direction/accuracy"]["mean"] == 1
    again = ["--benchmark", "jsonl", "--data", "questions.json", "--num_frames", "8", "--out", "again"]
    run(["evaluate", "--model", "model", *again])
    replies = [
        [json.loads(line)["reply"] for line in (tmp_path / folder / "answers.jsonl").read_text().splitlines()]
        for folder in ("scores", "again")
    ]
    assert replies[0] == replies[1]
