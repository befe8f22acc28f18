"""``remot replay``."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remot.commands.data.sources import data_from
from remot.commands.parsing.config_files import read_configs
from remot.commands.parsing.functions import OwnParser, instantiated
from remot.errors import CheckpointError, ConfigError
from remot.files import lines_of, open_regular
from remot.terminal import write_err, write_out

if TYPE_CHECKING:
    from remot.data.datamodule import MotionDataModule
    from remot.strategies.module import PostTrainingModule
    from remot.structures import PromptBatch

#: Classes that a checkpoint's own configuration may name: importing others could run the code of a stranger.
OWN_CLASSES = ("remot.", "torch.optim.")
#: Longest list of skipped steps that is read, in bytes.
MAX_BYTES = 64_000_000
#: Sections of a configuration that a replay makes objects of.
SECTIONS = ("model", "data")


def replay_command(run: Path, step: int | None = None, config: list[Path] | None = None) -> None:
    """Compute a step that was not finite again, and say where the first number that is not finite appears.

    Args:
        run: Folder of the run, such as runs/quickstart/GRPO-seed0-20260101-120000.
        step: Number of the skipped step; the last one by default.
        config: Configuration of the run, RUN/config.yaml; the one that the checkpoint holds if left out.
    """
    record = _record(run, step)
    import torch

    from remot.commands.policies import read_trained
    from remot.data.datamodule import MotionDataModule
    from remot.strategies.replay import first_fault
    from remot.tracking import CONFIG_KEY

    held = read_trained(run / "not_finite" / f"step-{record['state_step']}.ckpt")
    settings = read_configs(config) if config is not None else _own_settings(held.get(CONFIG_KEY), run)
    module, section = _module(settings, held), dict(settings.get("data") or {})
    root = section.pop("root", None) or settings.get("root")
    section["options"] = {**(section.pop("options", None) or {}), "seed": _seed(settings)}
    data = data_from(section | ({"root": root} if root is not None else {}), MotionDataModule)
    assert isinstance(data, MotionDataModule)
    data.setup()
    batch = _batch(data, record)
    _leave_redraws_out(module, len(batch) // data.batch_size)
    write_err(f"step {record['step']} ({record['phase']}) of {run}, skipped as {record['reason']}\n")
    halves = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    half = halves.get(str((settings.get("trainer") or {}).get("precision")))
    with torch.autocast("cpu", dtype=half or torch.bfloat16, enabled=half is not None):
        where = first_fault(module, record["phase"], record["step"], batch, data)
    otherwise = "nothing: weights, prompts and settings give finite numbers here; look at callbacks, or the device"
    write_out(f"first not finite: {where or otherwise}\n")


def _record(run: Path, step: int | None) -> dict[str, Any]:
    file = run / "not_finite" / "steps.jsonl"
    if not file.is_file():
        msg = f"{run}: no step was skipped, there is no {file.relative_to(run)}; give the folder of a run"
        raise ConfigError(msg)
    try:
        with open_regular(file) as stream:
            records = [json.loads(line) for line in lines_of(stream.read(MAX_BYTES).decode("utf-8"))]
        found = [one for one in records if step is None or one["step"] == step]
        numbers = sorted({int(one["step"]) for one in records})
        for one in found:
            _ = int(one["state_step"]), int(one["batch"]), str(one["phase"]), one["prompts"][0]["prompt_id"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        msg = f"{file}: a line is no record of a skipped step ({type(error).__name__}: {error})"
        raise CheckpointError(msg) from error
    if not found:
        msg = f"--step {step}: the steps that were skipped are {', '.join(map(str, numbers))}"
        raise ConfigError(msg)
    record: dict[str, Any] = found[-1]
    return record


def _own_settings(text: object, run: Path) -> dict[str, Any]:
    """The configuration that a checkpoint holds.

    Raises:
        CheckpointError: If it holds none, or one that names classes of others.
    """
    if not isinstance(text, str):
        msg = f"the checkpoint of {run} does not hold its configuration: give the run's, --config {run / 'config.yaml'}"
        raise CheckpointError(msg)
    settings: dict[str, Any] = json.loads(text)
    for name in _class_paths({section: settings.get(section) for section in SECTIONS}):
        if not name.startswith(OWN_CLASSES):
            msg = f"the checkpoint names the class {name!r:.80}: give the run's own, --config {run / 'config.yaml'}"
            raise CheckpointError(msg)
    return settings


def _class_paths(settings: object) -> Iterator[str]:
    if isinstance(settings, dict):
        if isinstance(settings.get("class_path"), str):
            yield settings["class_path"]
        for value in settings.values():
            yield from _class_paths(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _class_paths(value)


def _seed(settings: dict[str, Any]) -> int:
    seed = settings.get("seed_everything")
    return 0 if seed is None or isinstance(seed, bool) else int(seed)


def _module(settings: dict[str, Any], held: dict[str, Any]) -> "PostTrainingModule":
    """The module with the weights of the checkpoint."""
    from remot.commands.environment import quiet_libraries
    from remot.strategies.module import PostTrainingModule

    quiet_libraries()
    parser = OwnParser(prog="remot replay")
    parser.add_class_arguments(PostTrainingModule, "model")
    section = {**settings["model"], "seed": _seed(settings)}
    module: PostTrainingModule = instantiated(parser, parser.parse_object({"model": section})).model
    module.configure_model()
    module.on_load_checkpoint(held)
    module.load_state_dict(held["state_dict"], strict=False)
    return module


def _leave_redraws_out(module: "PostTrainingModule", num_processes: int) -> None:
    """Each of several processes drew prompts of its own in place of others, which one process cannot repeat."""
    grpo: Any = module.objectives["GRPO"]
    if num_processes > 1 and grpo.dynamic_sampling is not None and grpo.dynamic_sampling.max_redraws:
        without = replace(grpo.dynamic_sampling, max_redraws=0)
        module.objectives = {**module.objectives, "GRPO": replace(grpo, dynamic_sampling=without)}
        write_err(f"the prompts that {num_processes} processes drew again (grpo.dynamic_sampling) are left out\n")


def _batch(data: "MotionDataModule", record: dict[str, Any]) -> "PromptBatch":
    """The prompts of the step, from all processes.

    Raises:
        CheckpointError: If they are others than the run saw.
    """
    from remot.data.datasets.loaders import collate_prompts

    wanted = [tuple(str(prompt.get(key)) for key in ("prompt_id", "clip_id", "text")) for prompt in record["prompts"]]
    first = int(record["batch"]) * len(wanted)
    addresses = range(first, first + len(wanted))
    batch = collate_prompts([data.bad_clips.prompt(data.prompts["train"], address) for address in addresses])
    found = [(one.prompt_id, clip_id, one.text) for one, clip_id in zip(batch.questions, batch.clip_ids, strict=True)]
    for here, there in zip(found, wanted, strict=True):
        if here != there:
            names = [f"{prompt_id} of clip {clip_id}" for prompt_id, clip_id, _ in (here, there)]
            msg = f"step {record['step']}: the data give another prompt {names[0]} than the run saw, {names[1]}"
            raise CheckpointError(msg + "; replay with the data and settings of the run, --config RUN/config.yaml")
    return batch
