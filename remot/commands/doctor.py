"""``remot doctor``: what a run needs and what would fail, before it is started. Takes the options of ``remot fit``."""

import sys
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import LightningCLI

from remot.commands.diagnosis.data import data_findings, estimated_lengths, length_finding, measured_prompts
from remot.commands.diagnosis.findings import Finding, duration, summary
from remot.commands.diagnosis.memory import RunShape, memory_finding, optimizer_bytes
from remot.commands.diagnosis.probe import Probe, probe_run, process_bytes, trained_bytes
from remot.commands.diagnosis.storage import disk_finding, store_finding
from remot.commands.diagnosis.training import memory_findings, rollout_findings, time_findings
from remot.commands.environment import quiet_libraries
from remot.commands.parsing.errors import constructing
from remot.commands.training.cli import ENDS, RemotCLI, run_cli
from remot.commands.training.parser import RemotParser
from remot.data.datamodule import MotionDataModule
from remot.errors import ConfigError, RemotError
from remot.models.adapters import QLoRA
from remot.models.sizes import ModelSizes, has_weights, model_sizes
from remot.rollout.decoding.memory import UNPLANNED_MICRO_BATCH, free_bytes
from remot.strategies import PostTrainingModule
from remot.strategies.grpo.objective import TOKENS_ON_CPU, GRPOObjective
from remot.terminal import write_out
from remot.tracking import quiet_mlflow

#: Parameters of a model up to which steps are tried on a CPU, and training prompts whose tokens are counted.
MAX_CPU_PARAMETERS, NUM_PROMPTS = 300_000_000, 64
#: Assumed of a GPU where none is there to measure: seconds of a decoded token, and operations a second.
TOKEN_SECONDS, FLOPS = 0.025, 150e12


class DoctorCLI(RemotCLI):
    """Parses as ``remot fit`` does, makes the module and the data, and neither a folder, a logger nor a trainer."""

    def before_instantiate_classes(self) -> None:
        """Put the logger's settings aside: making one would make its store."""
        config = self.config[self.subcommand]
        if all(config.trainer.get(key) in (None, -1) for key in ENDS):
            msg = f"the run has no end: set trainer.{' or trainer.'.join(ENDS)}, as the files in configs/ do"
            raise ConfigError(msg)
        self.logger_settings = deepcopy(config.trainer.logger)
        config.trainer.logger = False

    def instantiate_classes(self) -> None:
        """Make the module and the data."""
        with constructing():
            self.config_init = self.parser.instantiate_classes(self.config)
        self.datamodule = LightningCLI._get(self, self.config_init, "data")
        self.model = LightningCLI._get(self, self.config_init, "model")

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing is run."""


def run_doctor(args: list[str]) -> None:
    """Look at the run that ``remot fit`` with these options would be; ends with status 1 if something would fail."""
    quiet_mlflow()
    quiet_libraries()
    words = ["fit", *args]
    RemotParser.arguments = tuple(words)
    started, cli, findings = time.monotonic(), run_cli(words, DoctorCLI), []
    assert isinstance(cli, DoctorCLI)
    for finding in Diagnosis(cli).findings():
        findings.append(finding)
        write_out(finding.as_text() + "\n")
        sys.stdout.flush()
    write_out(f"\n{summary(findings)}; {duration(time.monotonic() - started)}. Nothing was saved or logged.\n")
    if any(one.level == "fail" for one in findings):
        sys.exit(1)


class Diagnosis:
    """The findings about one configuration, in the order in which they become known.

    Args:
        cli: The parsed configuration with the module and the data.
    """

    def __init__(self, cli: DoctorCLI) -> None:
        self.config = cli.config["fit"]
        self.logger_settings = cli.logger_settings
        self.module: PostTrainingModule = cli.model
        self.data: MotionDataModule = cli.datamodule
        self.settings = self.module.policy_settings
        self.device = _device(str(self.config.trainer.accelerator))
        self.sizes: ModelSizes | None = None
        self.probe: Probe | None = None
        self.library_bytes = 0

    def findings(self) -> Iterator[Finding]:
        """One after another."""
        has_gpu = self.device is not None and self.device.type != "cpu"
        is_gpu = has_gpu or str(self.config.trainer.accelerator) not in ("cpu", "auto")
        if self.device is None:
            yield Finding(
                "fail",
                "device",
                f"trainer.accelerator: {self.config.trainer.accelerator}, and there is none on this machine",
                "start the run where there is one; below stands what it needs",
            )
        yield store_finding(self.logger_settings, offline=bool(self.config.offline))
        data = list(data_findings(self.data))
        yield from data
        yield from self._objective_findings()
        yield self._weights_finding()
        if any(one.level == "fail" and one.name == "data" for one in data):
            yield Finding("open", "training", "no step was tried: there are no prompts to take it with")
            yield self._disk_finding()
            return
        reason = self._not_probed()
        self.library_bytes = 0 if is_gpu else process_bytes() or 0  # before there are weights
        if not reason:
            try:
                self.probe = self._probed()
            except (RemotError, torch.OutOfMemoryError, MemoryError) as error:
                yield Finding("fail", "training", f"a step cannot be taken: {str(error).splitlines()[0]}")
        lengths = self._lengths()
        yield self._length_finding(lengths)
        yield self._memory_finding(lengths, is_gpu=is_gpu)
        if self.probe is not None:
            yield from self._probe_findings(self.probe)
        elif reason:
            measured = "groups with a signal, completions cut off, gap of sampler and scorer, KL at the start, seconds"
            yield Finding("open", "training", f"not measured, as {reason}: {measured}")
            if self.sizes is not None and lengths:
                yield self._assumed_time(self.sizes, max(lengths))
        yield self._disk_finding()

    # -- the model ------------------------------------------------------------------------------------------------

    def _weights_finding(self) -> Finding:
        """Which weights, whether they are here, and how large."""
        source = self.settings.source
        self.sizes = model_sizes(
            source,
            self.settings.adaptation,
            train_vision=self.settings.train_vision,
            recomputes=self.settings.gradient_checkpointing,
        )
        here = has_weights(source) or source.random_weights
        if self.sizes is None:
            text = f"{source.base}: neither a configuration nor weights are on this machine"
            return Finding("fail", "weights", text, "give a folder, or download the model first")
        text = (
            f"{source.base}: {self.sizes.num_parameters / 1e6:,.4g} M parameters, {self.sizes.num_trained / 1e6:,.3g} M"
            f" numbers are trained (from {self.sizes.known_from})"
        )
        facts = {"parameters": self.sizes.num_parameters, "trained": self.sizes.num_trained}
        if here:
            return Finding("fine", "weights", text, facts=facts)
        if source.allow_download:
            text += "; not on this machine, the run would download them"
            return Finding("warn", "weights", text, "download them before the run, so that it does not wait", facts)
        advice = "give the folder of a downloaded model, or set model.policy.source.allow_download: true"
        return Finding("fail", "weights", f"{text}; not on this machine", advice, facts)

    def _objective_findings(self) -> Iterator[Finding]:
        """Engines that are not there."""
        for phase in self.module.strategy.phases:
            try:
                self.module.objectives[phase].check()
            except RemotError as error:
                yield Finding("fail", "engine", str(error), "start the server, or leave model.grpo.engine out")

    def _not_probed(self) -> str:
        """Why no step is tried; "" if steps are."""
        grpo = self.module.objectives["GRPO"]
        if self.device is None:
            return "there is no such device on this machine"
        if not has_weights(self.settings.source) and not self.settings.source.random_weights:
            return "the weights are not on this machine"
        if isinstance(grpo, GRPOObjective) and grpo.engine is not None and "GRPO" in self.module.strategy.phases:
            return "completions come from a server, to which a step would send weights"
        if self.sizes is not None and self.device.type == "cpu" and self.sizes.num_parameters > MAX_CPU_PARAMETERS:
            return f"a model of more than {MAX_CPU_PARAMETERS / 1e6:.0f} M parameters is not tried on a CPU"
        return ""

    # -- the probe ------------------------------------------------------------------------------------------------

    def _probed(self) -> Probe:
        assert self.device is not None
        return probe_run(self.module, self.data, self.device, str(self.config.trainer.precision), NUM_PROMPTS)

    def _probe_findings(self, probe: Probe) -> Iterator[Finding]:
        is_float32 = self.settings.source.dtype == "float32" and str(self.config.trainer.precision).startswith("32")
        grpo = probe.phases.get("GRPO")
        if grpo is None:
            yield Finding("open", "rollouts", "none were tried: the strategy is supervised only")
        else:
            reference = self.module.describe_reference() or ""
            yield from rollout_findings(grpo, self.data.batch_size, is_float32=is_float32, reference=reference)
        yield from memory_findings(probe.phases, str(self.device))
        yield from time_findings(probe.phases, self._steps(), probe.answer_seconds, self._num_evaluated_batches())

    def _assumed_time(self, sizes: ModelSizes, num_columns: int) -> Finding:
        """As the recipes' headers do it: all completions at their longest, by assumed speeds of one GPU."""
        grpo = self.module.objectives["GRPO"]
        steps = self._steps()
        assert isinstance(grpo, GRPOObjective)
        prompts, group, tokens = self.data.batch_size, grpo.num_completions, grpo.max_new_tokens
        update = 8 * sizes.num_parameters * prompts * (num_columns + group * tokens) / FLOPS
        rollout = tokens * TOKEN_SECONDS if "GRPO" in self.module.strategy.phases else 0.0
        text = (
            f"assumed, not measured ({TOKEN_SECONDS * 1000:.0f} ms a decoded token, {FLOPS / 1e12:.0f} TFLOP/s, "
            f"every completion at its longest): {duration(rollout)} for each wave of a rollout and {duration(update)} "
            "for the update of a step"
        )
        if steps:
            total = sum(steps.values()) * (rollout + update)
            text += f"; at most {duration(total)} for {sum(steps.values())} steps of one wave"
        return Finding("open", "time of the run", text, facts={"rollout": rollout, "update": update})

    # -- what it needs --------------------------------------------------------------------------------------------

    def _lengths(self) -> list[int]:
        if self.probe is not None:
            return self.probe.lengths
        if self.sizes is None:
            return []
        source = self.settings.source
        own_min, own_max = self.sizes.pixels
        bounds = (source.min_pixels or own_min, source.max_pixels or own_max)
        batches = measured_prompts(self.data, NUM_PROMPTS)
        return [one for batch in batches for one in estimated_lengths(batch, self.sizes.visual_side, bounds)]

    def _length_finding(self, lengths: list[int]) -> Finding:
        if not lengths:
            return Finding("open", "tokens per prompt", "not measured: nothing is known of the model")
        counted = "counted" if self.probe is not None else "estimated from image sizes, 4 characters a token"
        limit = None if self.sizes is None else self.sizes.max_positions
        grpo = self.module.objectives["GRPO"]
        assert isinstance(grpo, GRPOObjective)
        return length_finding(lengths, max(grpo.max_new_tokens, self.module.evaluation.max_new_tokens), limit, counted)

    def _memory_finding(self, lengths: list[int], *, is_gpu: bool) -> Finding:
        if self.sizes is None or not lengths:
            return Finding("open", "memory", "not estimated: the sizes of the model are not known")
        available = None if self.device is None else free_bytes(self.device) or _free_memory()
        is_quantised = isinstance(self.settings.adaptation, QLoRA)
        shape = self._shape(max(lengths), is_gpu=is_gpu)
        libraries = self.library_bytes
        return memory_finding(
            self.sizes, shape, available, is_quantised=is_quantised, is_gpu=is_gpu, library_bytes=libraries
        )

    def _shape(self, num_columns: int, *, is_gpu: bool) -> RunShape:
        grpo, wanted = self.module.objectives["GRPO"], self.module.micro_batch_prompts
        assert isinstance(grpo, GRPOObjective)
        samples = "GRPO" in self.module.strategy.phases
        together = self.module.rollout_engine.settings.prompts_together
        whole = self.sizes is not None and self.sizes.num_trained * 2 > self.sizes.num_parameters
        return RunShape(
            num_columns=num_columns,
            batch_size=self.data.batch_size,
            num_completions=grpo.num_completions if samples else 1,
            max_new_tokens=grpo.max_new_tokens if samples else 64,
            micro_batch_prompts=(1 if is_gpu else UNPLANNED_MICRO_BATCH) if wanted == "auto" else wanted,
            prompts_together=(1 if is_gpu else self.data.batch_size) if together == "auto" else together,
            evaluated_tokens=self.module.evaluation.max_new_tokens,
            optimizer_bytes=optimizer_bytes(
                str(getattr(self.config.model.optimizer, "class_path", "AdamW")).rpartition(".")[2]
            ),
            copies_model=whole and samples and grpo.needs_reference,
            merges_adapters=not is_gpu and self.settings.source.dtype == "float32",
            prepacks_weights=not is_gpu,
            micro_batch_tokens=grpo.micro_batch_tokens or (None if is_gpu else TOKENS_ON_CPU),
            copies_prompts=self.settings.prefix_sharing == "off",
        )

    def _disk_finding(self) -> Finding:
        trained = 0 if self.sizes is None else self.sizes.trained_bytes
        kept, how = trained * 3, "estimated for Adam"
        if self.probe is not None:
            trained = trained_bytes(self.module.loaded_policy)
            kept, how = trained + self.probe.optimizer_bytes, "measured"
        folder = Path(self.config.trainer.default_root_dir or ".")
        sections = {name: _plain(self.config.get(name)) for name in ("checkpoint", "samples", "held_out")}
        exported = trained if _plain(self.config.get("summary")).get("export", True) else 0
        return disk_finding(folder, kept, exported, sections, max(1, sum(self._steps().values())), how)

    # -- the run --------------------------------------------------------------------------------------------------

    def _steps(self) -> dict[str, int]:
        """Optimizer steps of each phase; empty if the run does not end by ``max_steps``."""
        num_steps = self.config.trainer.max_steps
        if num_steps is None or num_steps < 1:
            return {}
        phases = [self.module.strategy.phase(step) for step in range(num_steps)]
        return {name: phases.count(name) for name in self.module.strategy.phases}

    def _num_evaluated_batches(self) -> int:
        """Batches of the two evaluations of a fit."""
        held_out = _plain(self.config.get("held_out"))
        if not held_out.get("enabled", True) or "test" not in self.data.prompts:
            return 0
        return 2 * -(-len(self.data.prompts["test"]) // self.data.batch_size)


def _device(accelerator: str) -> torch.device | None:
    """Where the run would compute; None if this machine has no such device."""
    if accelerator == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("cpu") if accelerator == "auto" else None


def _free_memory() -> int | None:
    """Bytes of memory that the run can have: what is free, and what this process gives back; None if not known."""
    file = Path("/proc/meminfo")
    lines = file.read_text(encoding="ascii").splitlines() if file.is_file() else []
    found = next((line.split() for line in lines if line.startswith("MemAvailable:")), None)
    return None if found is None else int(found[1]) * 1024 + (process_bytes("RssAnon") or 0)


def _plain(section: Any) -> Mapping[str, Any]:  # noqa: ANN401 (as the parser leaves it)
    return section.as_dict() if hasattr(section, "as_dict") else section or {}
