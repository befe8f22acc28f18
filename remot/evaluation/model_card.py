"""The model card of an exported policy: what it is, what it scores, how it was trained, how to load it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml

from remot.bounded_yaml import parse_yaml
from remot.errors import ConfigError
from remot.files import cause_of, read_bounded
from remot.structures import interval_note
from remot.terminal import counted

#: Where a run keeps the table that compares its base model with its trained policy.
RESULTS_FILE = "held_out.json"
CARD_FILE = "README.md"
#: Where it keeps its configuration.
CONFIG_FILE = "config.yaml"
_MAX_BYTES = 1 << 20
#: Settings of a run that say nothing about the weights: where it ran, what it kept and what it showed.
_NOT_THE_RECIPE = frozenset(
    ("config", "ckpt_path", "weights_only", "resume", "checkpoint", "progress", "predictions", "samples", "held_out")
) | frozenset(("interrupt", "summary", "vision", "weights", "root"))


def read_results(file: Path | None, run_folder: Path | None, step: int | None) -> dict[str, Any]:
    """The table of results for a card.

    Args:
        file: As ``fit`` writes it; None for that of the run's folder.
        run_folder: Looked through for :data:`RESULTS_FILE`.
        step: Optimizer step of the exported weights: the run's table counts only if it is of the same step.

    Returns:
        Empty if there is none.

    Raises:
        ConfigError: If a file that was named is no table.
    """
    path = file if file is not None else None if run_folder is None else run_folder / RESULTS_FILE
    if path is None or (file is None and not path.is_file()):
        return {}
    table = _read_object("--results", path)
    return table if file is not None or table.get("step") == step else {}


def read_scores(files: Sequence[Path], weights_hash: str) -> list[dict[str, Any]]:
    """Scores of benchmarks for a card.

    Args:
        files: ``scores.json`` of ``remot evaluate``.
        weights_hash: Of the exported weights; scores of others are refused.

    Raises:
        ConfigError: If a file is none, or of other weights.
    """
    found = [_read_object("--scores", file) for file in files]
    for file, scores in zip(files, found, strict=True):
        if not isinstance(scores.get("metrics"), dict) or not isinstance(scores.get("benchmark"), str):
            msg = f"--scores {file} is no scores.json of `remot evaluate`"
            raise ConfigError(msg)
        if scores.get("weights_hash") != weights_hash:
            hashed = str(scores.get("weights_hash") or "")[:16]
            others = f"other weights (hash {hashed})" if hashed else "weights without a hash"
            msg = (
                f"--scores {file} is of {others}, not of the exported ones ({weights_hash[:16]}); run `remot evaluate` "
                "on these, by --ckpt_path or --adapter"
            )
            raise ConfigError(msg)
    return found


def _read_object(option: str, path: Path) -> dict[str, Any]:
    """The object in a JSON file of bounded size.

    Raises:
        ConfigError: If there is none.
    """
    try:
        value = json.loads(read_bounded(path, _MAX_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{option} {path} cannot be read: {cause_of(error)}"
        raise ConfigError(msg) from error
    if not isinstance(value, dict):
        msg = f"{option} {path} is no table of results"
        raise ConfigError(msg)
    return value


def run_config(run_folder: Path | None) -> dict[str, Any]:
    """The configuration that a run has left in its folder; empty if there is none."""
    if run_folder is None:
        return {}
    try:
        config = parse_yaml(read_bounded(run_folder / CONFIG_FILE, _MAX_BYTES).decode("utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


@dataclass(frozen=True)
class CardFacts:
    """What a card says of an export.

    Args:
        base: Name of the base model.
        is_adapter: The folder holds adapters, not a whole model.
        step: Optimizer step, None if unknown.
        check: What a comparison with the policy has shown, in a sentence.
    """

    base: str
    is_adapter: bool
    step: int | None = None
    check: str | None = None


def write_card(
    folder: Path,
    facts: CardFacts,
    *,
    config: Mapping[str, Any],
    results: Mapping[str, Any],
    benchmarks: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write ``README.md`` into an export, in place of the one that PEFT leaves.

    Args:
        folder: The export.
        facts: What it is.
        config: Configuration of the run, empty if unknown.
        results: What :func:`read_results` returned.
        benchmarks: What :func:`read_scores` returned.
    """
    path = folder / CARD_FILE
    text = model_card(facts, config=config, results=results, benchmarks=benchmarks)
    path.write_text(text, encoding="utf-8")
    return path


def model_card(
    facts: CardFacts,
    *,
    config: Mapping[str, Any],
    results: Mapping[str, Any],
    benchmarks: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The text of a card; arguments as of :func:`write_card`."""
    from remot._version import __version__

    base, is_adapter, step = facts.base, facts.is_adapter, facts.step
    head = {
        "base_model": base,
        "library_name": "peft" if is_adapter else "transformers",
        "pipeline_tag": "image-text-to-text",
        "tags": ["remot", "motion", *(["lora"] if is_adapter else [])],
    }
    trained = f", trained for {step} step{'s' * (step != 1)}" if step is not None else ""
    kind = "LoRA adapters for" if is_adapter else "Weights of"
    records = PurePath(str((config.get("data") or {}).get("records") or "")).name
    prompts = f"`{records}`" if records else "motion-contrast prompts"
    sections = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {PurePath(base).name} trained {f'on {records}' if records else 'to see motion'}",
        f"{kind} `{base}`{trained} with remot {__version__} on {prompts}.",
        *(_results_section(results) if results or not benchmarks else []),
        *_benchmarks_section(benchmarks),
        "## Use",
        *([] if facts.check is None else [facts.check]),
        f"```python\n{_usage(base, is_adapter=is_adapter)}```",
        *_recipe_section(config),
    ]
    return "\n\n".join(sections) + "\n"


def _results_section(results: Mapping[str, Any]) -> list[str]:
    """The table of means with 95 % intervals; a remark where there is none."""
    tables = {name: results[name] for name in ("sampled", "greedy") if isinstance(results.get(name), dict)}
    rows = [_row(metric, kind, cells) for kind, table in tables.items() for metric, cells in table.items()]
    if not rows:
        return ["## Results", "Not evaluated: `remot evaluate` makes the numbers."]
    completions = counted(results.get("num_completions"), "completion")
    prompts, scenes = (
        counted(results.get("num_prompts"), "held-out prompt"),
        counted(results.get("num_scenes"), "scene"),
    )
    facts = f"{completions} of at most {results.get('max_new_tokens')} new tokens for {prompts} from {scenes}."
    notes = [str(note) for note in results.get("notes") or ()]
    header = "| metric | base | trained | change |\n|---|---|---|---|"
    return [
        "## Results",
        "\n".join([header, *rows]),
        " ".join([facts, "Brackets: 95 % intervals over scenes.", *notes]),
    ]


def _benchmarks_section(benchmarks: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of each benchmark's metrics, those of its parts folded."""
    sections = ["## Benchmarks"] if benchmarks else []
    for scores in benchmarks:
        metrics = {str(name): cells for name, cells in scores["metrics"].items() if isinstance(cells, dict)}
        version = f", version `{_one_line(scores['version'])[:16]}`" if scores.get("version") else ""
        settings = scores["settings"] if isinstance(scores.get("settings"), dict) else {}
        asked = f"{counted(scores.get('num_answered'), 'prompt')} from {counted(scores.get('num_scenes'), 'scene')}"
        of_all = f", the first of {scores.get('num_rows')}" if scores.get("limit") is not None else ""
        left_out = f", {scores['num_skipped']} left out for missing files" if scores.get("num_skipped") else ""
        source = scores["source"] if isinstance(scores.get("source"), dict) else {}
        rows = PurePath(str(source.get("data") or "")).name
        facts = [f"rows of {rows}"] if rows and not version else []
        facts += [asked + of_all + left_out, *(f"{name} {value}" for name, value in settings.items())]
        num_scenes = scores.get("num_scenes")
        facts += [note for note in [interval_note(num_scenes) if type(num_scenes) is int else ""] if note]
        title = f"**{_one_line(scores['benchmark'])}**{version}: {_one_line('; '.join(facts))}."
        whole = [_score_row(name, cells) for name, cells in metrics.items() if "/" not in name]
        parts = [_score_row(name, cells) for name, cells in metrics.items() if "/" in name]
        header = "| metric | score | n |\n|---|---|---|"
        sections += [title, "\n".join([header, *whole])]
        if parts:
            table = "\n".join([header, *parts])
            sections.append(f"<details><summary>Parts</summary>\n\n{table}\n\n</details>")
    return [*sections, "Brackets: 95 % intervals over scenes; n: units in the denominator."] if sections else []


def _score_row(name: str, cells: Mapping[str, Any]) -> str:
    return f"| {_one_line(name)} | {_cell(cells)} | {_one_line(cells.get('n', '–'))} |"


def _one_line(value: object) -> str:
    """A value of a file in one cell of a table, without markup."""
    return re.sub(r"\s+", " ", str(value)[:200]).replace("|", "/").replace("<", "(").replace("`", "'")


def _row(metric: str, kind: str, cells: Any) -> str:  # noqa: ANN401 (JSON)
    held = cells if isinstance(cells, dict) else {}
    columns = [_cell(held.get("base")), _cell(held.get("trained")), _cell(held.get("change"), sign="+")]
    return f"| {_one_line(metric)}{' (greedy)' if kind == 'greedy' else ''} | {' | '.join(columns)} |"


def _cell(numbers: Any, sign: str = "") -> str:  # noqa: ANN401 (JSON)
    mean, low, high = (numbers.get(key) if isinstance(numbers, dict) else None for key in ("mean", "low", "high"))
    if not isinstance(mean, int | float):
        return "–"
    has_interval = isinstance(low, int | float) and isinstance(high, int | float)
    interval = f" [{low:{sign}.2f}, {high:{sign}.2f}]" if has_interval else ""
    return f"{mean:{sign}.3f}{interval}"


def _usage(base: str, *, is_adapter: bool) -> str:
    lines = ["from transformers import AutoModelForImageTextToText, AutoProcessor", ""]
    if not is_adapter:
        return "\n".join(
            [
                *lines,
                'model = AutoModelForImageTextToText.from_pretrained("THIS_FOLDER")',
                'processor = AutoProcessor.from_pretrained("THIS_FOLDER")\n',
            ]
        )
    embedded = base == "remot-tiny"
    where = 'files("remot") / "assets" / "remot-tiny"' if embedded else f'"{base}"'
    imports = ["from importlib.resources import files", ""] if embedded else []
    return "\n".join(
        [
            *imports,
            "from peft import PeftModel",
            *lines,
            f"base = AutoModelForImageTextToText.from_pretrained({where})",
            'model = PeftModel.from_pretrained(base, "THIS_FOLDER")',
            'processor = AutoProcessor.from_pretrained("THIS_FOLDER")\n',
        ]
    )


def _recipe_section(config: Mapping[str, Any]) -> list[str]:
    """The configuration without what says nothing about the weights, paths by their last part."""
    kept = {
        key: _without_paths(value) for key, value in config.items() if key not in _NOT_THE_RECIPE and _is_set(value)
    }
    if isinstance(kept.get("trainer"), dict):
        kept["trainer"] = {key: value for key, value in kept["trainer"].items() if key != "logger" and _is_set(value)}
    if not kept:
        return []
    listing = f"```yaml\n{yaml.safe_dump(kept, sort_keys=False)}```"
    return ["## Recipe", f"<details><summary>Configuration</summary>\n\n{listing}\n\n</details>"]


def _is_set(value: Any) -> bool:  # noqa: ANN401 (JSON)
    """False for null, false and what is empty; the number 0 is a setting, such as a seed."""
    return bool(value) or (isinstance(value, int | float) and not isinstance(value, bool))


def _without_paths(value: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, Mapping):
        return {key: _without_paths(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_paths(one) for one in value]
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value
