"""``remot data score``."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remot.commands.data.sources import data_from, data_section
from remot.commands.parsing.config_files import Configs, read_configs
from remot.errors import AnnotationError, ConfigError
from remot.files import cause_of, require_regular
from remot.locks import take_lock
from remot.strict_json import json_text
from remot.terminal import write_out

if TYPE_CHECKING:
    from remot.data.datasets.selection import PromptScore
    from remot.data.prompt_data import PromptData
    from remot.models.policy import VLMPolicy
    from remot.strategies import GRPOObjective


def score_prompts_command(
    config: list[Path],
    out: Path,
    model: str | None = None,
    ckpt_path: Path | None = None,
    num_prompts: int = 1024,
    num_completions: int = 8,
    root: str | None = None,
    seed: int | None = None,
) -> None:
    """Sample completions for training prompts and write how many are right, to choose prompts by.

    A file that a killed command left is continued. `data.options.selection` of a run takes the file.

    Args:
        config: Configuration of the run that will be trained: its data, model.policy and model.grpo. Given more than
            once, the later files count.
        out: File of JSON lines to write.
        model: Name or folder of another model, also one of adapters.
        ckpt_path: Checkpoint whose weights are used.
        num_prompts: Training prompts to score, from the first on.
        num_completions: Completions sampled for each, with the run's sampling.
        root: Folder of annotated clips, instead of the configuration's.
        seed: Seed of the training prompts, instead of the configuration's.
    """
    from remot.commands.evaluate_weights import folder_digest, weights_hash
    from remot.commands.policies import open_policy
    from remot.rollout.sampling import require_lengths

    if num_prompts < 1 or num_completions < 2:
        msg = f"--num_prompts is at least 1 and --num_completions at least 2, got {num_prompts} and {num_completions}"
        raise ConfigError(msg)
    data, objective = data_from(data_section(config, root, seed)), _objective(section := _grpo_section(config))
    require_lengths("--num_completions", num_completions, objective.max_new_tokens)
    data.setup()
    if "train" not in data.prompts:
        msg = "there are no training prompts to score"
        raise ConfigError(msg)
    opened = open_policy(model, ckpt_path, config)
    source = opened.settings.source
    header = {
        "weights": opened.weights,
        "weights_hash": weights_hash(folder_digest(source.resolve()), opened.settings, ckpt_path),
        "reward": section.get("init_args", section).get("reward"),
        "fingerprint": data.fingerprint,
        "seed": data.options.seed,
        "num_completions": num_completions,
        "max_new_tokens": objective.max_new_tokens,
        "sampling": asdict(objective.sampling),
    }
    scores = _ScoreFile(out, header)
    write_out(f"weights: {opened.weights}; {len(scores.held)} of {num_prompts} prompts are there\n")
    job = _Job(opened.policy.eval(), data, objective, num_completions)
    _score(job, scores, num_prompts)
    write_out(_summary(scores.held[:num_prompts], objective.num_completions) + f"written to {out}\n")


@dataclass(frozen=True)
class _Job:
    policy: "VLMPolicy"
    data: "PromptData"
    objective: "GRPOObjective"
    num_completions: int

    def scores(self, addresses: Sequence[int]) -> "Iterator[PromptScore]":
        """Sample for the prompts at these addresses."""
        import torch

        from remot.data.datasets.loaders import collate_prompts
        from remot.data.datasets.selection import PromptScore
        from remot.strategies.grpo.step import StepSettings, sample_groups
        from remot.strategies.objective import StepAddress
        from remot.structures import task_of

        prompts, objective = self.data.prompts["train"], self.objective
        batch = collate_prompts([self.data.bad_clips.prompt(prompts, address) for address in addresses])
        settings = StepSettings(self.num_completions, objective.max_new_tokens, objective.sampling, objective.scorer)
        with torch.no_grad():
            # the noise is named by seed and prompt; step 0 for all, so that batches change nothing
            groups, _ = sample_groups(self.policy, batch, StepAddress(self.data.options.seed, 0), settings)
        counts = groups.success.sum(-1).tolist(), (~groups.rollout.finished).sum(-1).tolist()
        for address, question, right, cut_off in zip(addresses, batch.questions, *counts, strict=True):
            name = prompts.prompt_id(address)
            yield PromptScore(address, name, task_of(question), self.num_completions, right, cut_off)


def _score(job: _Job, scores: "_ScoreFile", num_prompts: int) -> None:
    from remot.commands.data.audit_table import ProgressBars

    size = job.data.batch_size
    with ProgressBars() as bars:
        for start in range(len(scores.held), num_prompts, size):
            scores.add(list(job.scores(range(start, min(start + size, num_prompts)))))
            bars.show("sampling completions", len(scores.held), num_prompts)


class _ScoreFile:
    """Scores on disk, a line each behind a header, appended batch by batch."""

    def __init__(self, file: Path, header: dict[str, Any]) -> None:
        from remot.data.datasets.selection import FORMAT, read_scores

        self.file = file
        self.held: list[PromptScore] = []
        header = {"format": FORMAT, **header}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists():
                require_regular(file)
            self._lock = take_lock(file)
            file.touch()
            _drop_unfinished_line(file)
            if not file.stat().st_size:
                self._append([header])
                return
        except OSError as error:
            msg = f"--out {file}: {cause_of(error)}; name another file"
            raise ConfigError(msg) from error
        found, self.held = read_scores(file)
        other = [name for name in header if found.get(name) != header[name]]
        if other:
            msg = f"--out {file} holds scores with another {other[0]}: {found.get(other[0])!r:.200}; name another file"
            raise ConfigError(msg)
        if [one.address for one in self.held] != list(range(len(self.held))):
            msg = f"{file}: its addresses do not count from 0; name another file"
            raise AnnotationError(msg)

    def add(self, scores: "Sequence[PromptScore]") -> None:
        """Append and wait until they are on disk."""
        try:
            self._append([asdict(score) for score in scores])
        except OSError as error:
            msg = f"{self.file}: {cause_of(error)}; make room, and run the same command again"
            raise ConfigError(msg) from error
        self.held += scores

    def _append(self, records: Sequence[dict[str, Any]]) -> None:
        with self.file.open("a", encoding="ascii") as file:
            file.write("".join(json_text(record, ensure_ascii=True) + "\n" for record in records))
            file.flush()
            os.fsync(file.fileno())


def _drop_unfinished_line(file: Path) -> None:
    """Cut off what a killed process left after the last line end."""
    with file.open("rb+") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, end - 2**20))
        tail = stream.read()
        if (unfinished := len(tail) - tail.rfind(b"\n") - 1) and (b"\n" in tail or tail.startswith(b'{"format"')):
            stream.truncate(end - unfinished)


def _grpo_section(config: Configs) -> dict[str, Any]:
    """``model.grpo`` of a configuration."""
    section = read_configs(config).get("model")
    return (section if isinstance(section, dict) else {}).get("grpo") or {}


def _objective(grpo: dict[str, Any]) -> "GRPOObjective":
    """The objective that a section describes."""
    from remot.commands.parsing.functions import OwnParser, instantiated
    from remot.strategies import GRPOObjective

    parser = OwnParser(prog="remot data score")
    parser.add_argument("--grpo", type=GRPOObjective)  # with or without its class_path, as for a run
    objective: GRPOObjective = instantiated(parser, parser.parse_object({"grpo": grpo})).grpo
    return objective


def _summary(scores: "Sequence[PromptScore]", group: int) -> str:
    """Shares of prompts that teach nothing, by task, and the mean chance of a group with a difference."""
    from remot.data.datasets.selection import informative_probability

    lines = []
    for task in sorted({one.task for one in scores}):
        of_task = [one for one in scores if one.task == task]
        right = sum(one.share_right for one in of_task) / len(of_task)
        signal = sum(informative_probability(one.share_right, group) for one in of_task) / len(of_task)
        ends = sum(one.share_right == 0 for one in of_task), sum(one.share_right == 1 for one in of_task)
        cut_off = sum(one.num_cut_off for one in of_task) / sum(one.num_completions for one in of_task)
        lines.append(
            f"{task}: {len(of_task)} prompts, {right:.3f} right, {ends[0]} never and {ends[1]} always, "
            f"groups of {group} with a difference {signal:.3f}, cut off {cut_off:.1%}\n"
        )
    return "".join(lines)
