"""Runs without MLflow: the folder of a run of ``remot fit``, and what ``remot evaluate`` wrote."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remot.errors import ConfigError
from remot.evaluation.answer_table import ANSWERS_FILE, MAX_BYTES, PolicyAnswers, read_answers
from remot.files import cause_of, open_regular
from remot.tracking.compare import read_run
from remot.tracking.groups import RunRow, Scores, settings_that_matter
from remot.tracking.journal import PENDING
from remot.tracking.run_file import RUN_FILE, read_run_file

#: What ``remot evaluate`` and the end of a fit write.
SCORES_FILE, VERDICTS_FILE = "scores.json", "answers.jsonl"
_STATES = {"finished": "FINISHED", "running": "RUNNING", "interrupted": "KILLED"}


def folders_of(folder: Path) -> list[Path]:
    """The runs and evaluations directly below a folder, as those of a sweep; the folder itself if there are none."""
    if _holds_one(folder):
        return [folder]
    return sorted(child for child in folder.iterdir() if _holds_one(child)) or [folder]


def _holds_one(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (RUN_FILE, SCORES_FILE))


def read_folder(folder: Path) -> RunRow:
    """The run or the evaluation in a folder.

    Raises:
        ConfigError: If it holds neither, or a file is damaged.
    """
    if (folder / RUN_FILE).is_file():
        return _read_run(folder)
    if (folder / SCORES_FILE).is_file():
        return _read_evaluation(folder)
    msg = f"{folder} holds neither a run ({RUN_FILE}) nor an evaluation ({SCORES_FILE}); name the folder of one"
    raise ConfigError(msg)


def read_folder_or_store(folder: Path) -> RunRow:
    """The run in a folder, from MLflow where it is there: it holds the learning curves.

    Raises:
        ConfigError: If the folder holds no run, or MLflow cannot be read.
    """
    place = read_run_file(folder).get("mlflow")
    run_id = _texts(place).get("run_id")
    if run_id is not None and not run_id.startswith(PENDING):
        found = read_run(_texts(place)["tracking_uri"], run_id)
        if found is not None:
            return found
    return read_folder(folder)


def _read_run(folder: Path) -> RunRow:
    record = read_run_file(folder)
    tags, cost = _texts(record.get("tags")), _numbers(record.get("cost"))
    settings = _texts(record.get("settings"))
    answers = _answers(folder / ANSWERS_FILE, ("base", "final")) if (folder / ANSWERS_FILE).is_file() else {}
    seed, step = tags.get("remot.seed", ""), record.get("step")
    return RunRow(
        run_id=str(folder),
        name=str(record.get("name", folder.name)),
        status=_STATES.get(str(record.get("state")), "FAILED"),
        strategy=tags.get("remot.strategy", "?"),
        base_model=tags.get("remot.base_model", "?"),
        seed=int(seed) if seed.isdecimal() and len(seed) < 19 else None,
        steps=step if isinstance(step, int) else None,
        minutes=cost["seconds"] / 60 if "seconds" in cost else None,
        base=_means(answers.get("base")),
        final=_means(answers.get("final")),
        settings=settings_that_matter(settings),
        cost=cost,
        answers=answers,
    )


def _read_evaluation(folder: Path) -> RunRow:
    try:
        record = json.loads(_content(folder / SCORES_FILE))
    except (ValueError, RecursionError) as error:
        msg = f"{folder / SCORES_FILE} is damaged; run the same remot evaluate again"
        raise ConfigError(msg) from error
    record = record if isinstance(record, dict) else {}
    metrics = record.get("metrics")
    values = {
        name: one.get("mean")
        for name, one in (metrics.items() if isinstance(metrics, dict) else ())
        if isinstance(one, dict)
    }
    answers = _answers(folder / VERDICTS_FILE, ("scores",)) if (folder / VERDICTS_FILE).is_file() else {}
    return RunRow(
        run_id=str(folder),
        name=folder.name,
        status="FINISHED",
        strategy=str(record.get("benchmark", "?")),
        base_model=str(record.get("weights", "?")),
        seed=None,
        steps=None,
        minutes=None,
        base={},
        final=_numbers(values),
        settings=_asked(record),
        answers={"final": answers["scores"]} if "scores" in answers else {},
    )


def _asked(record: Mapping[str, Any]) -> dict[str, str]:
    """What an evaluation asked and how: two of them may differ in this, not in their weights."""
    version = record.get("version")
    facts = {"data": f"version {version[:16]}" if isinstance(version, str) and version else record.get("data")}
    facts |= {"prompts": record.get("num_answered"), "scenes": record.get("num_scenes")}
    known = {name: value for name, value in facts.items() if value is not None}
    return _texts(known) | {f"decoding.{name}": value for name, value in _texts(record.get("settings")).items()}


def _content(file: Path) -> bytes:
    try:
        with open_regular(file) as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        msg = f"{file} cannot be read: {cause_of(error)}"
        raise ConfigError(msg) from error


def _answers(file: Path, sides: tuple[str, ...]) -> dict[str, PolicyAnswers]:
    return read_answers(str(file), _content(file), sides)


def _means(answers: PolicyAnswers | None) -> Scores:
    return {} if answers is None else {name: answers.mean(name) for name in answers.metrics}


def _texts(held: Any) -> dict[str, str]:  # noqa: ANN401 (JSON)
    return {str(key): str(value) for key, value in held.items()} if isinstance(held, Mapping) else {}


def _numbers(held: Any) -> dict[str, float]:  # noqa: ANN401 (JSON)
    pairs = held.items() if isinstance(held, Mapping) else ()
    return {
        str(key): float(value)
        for key, value in pairs
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
