"""The judge of ``remot evaluate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from remot.commands.evaluate_weights import folder_digest
from remot.errors import ConfigError

if TYPE_CHECKING:
    from remot.evaluation.benchmarks.base import Grader


@dataclass(frozen=True)
class JudgeChoice:
    """The model that judges free text where a benchmark needs one, or reads captions; none without one of these.

    Args:
        judge_url: OpenAI-compatible address, up to /v1, of a model that judges free text where a benchmark needs one.
        judge_model: Name of that model.
        judge_key_variable: Environment variable that holds its key; none is sent by default.
        judge_folder: A local text model that judges or reads instead.
    """

    judge_url: str | None = None
    judge_model: str | None = None
    judge_key_variable: str = ""
    judge_folder: str | None = None

    def __post_init__(self) -> None:
        if bool(self.judge_url) != bool(self.judge_model):
            msg = "--judge_url and --judge_model belong together; give both"
            raise ConfigError(msg)
        if self.judge_url and self.judge_folder:
            msg = "--judge_url and --judge_folder are both judges; give one of them"
            raise ConfigError(msg)

    @property
    def is_none(self) -> bool:
        """No judge was chosen."""
        return not self.judge_url and not self.judge_folder

    def grader(self, folder: Path, device: str) -> "Grader | None":
        """Asks it, and keeps its replies in the folder; a local model is put on the device."""
        from remot.evaluation.benchmarks.judging import CachedGrader
        from remot.rewards.temporal.events import EndpointJudge

        judgements = folder / "judgements.jsonl"
        if self.judge_folder is not None:
            return _local(self.judge_folder, judgements, device)
        if self.judge_url is None or self.judge_model is None:
            return None
        judge = EndpointJudge(self.judge_url, self.judge_model, self.judge_key_variable)
        return CachedGrader(judgements, f"{self.judge_url} {self.judge_model}", judge.ask)


def _local(name: str, judgements: Path, device: str) -> "Grader":
    import torch

    from remot.evaluation.benchmarks.judging import CachedGrader
    from remot.models.loading import ModelSource
    from remot.models.text_model import TextModel

    found = "cuda" if torch.cuda.is_available() else "cpu"
    resolved = ModelSource(name).resolve()
    model = TextModel(resolved, found if device == "auto" else device)
    return CachedGrader(judgements, folder_digest(resolved), model.ask)
