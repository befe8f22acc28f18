"""``remot evaluate``."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from remot.commands.evaluate_data import data_of
from remot.commands.evaluate_harness import HarnessChoice, evaluate_by_harness
from remot.commands.evaluate_weights import EndpointChoice, WeightChoice, folder_digest, responder_for
from remot.errors import ConfigError
from remot.strict_json import json_text
from remot.terminal import console, write_out

if TYPE_CHECKING:
    from remot.evaluation.benchmarks.base import Benchmark, BenchmarkPrompt, Grader, Verdict
    from remot.evaluation.benchmarks.report import Facts, Report
    from remot.evaluation.benchmarks.responders import AnswerSettings, Responder


def evaluate_command(  # noqa: PLR0913 (one argument per option)
    benchmark: str | None = None,
    data: Path | None = None,
    model: str | None = None,
    adapter: Path | None = None,
    ckpt_path: Path | None = None,
    endpoint: str | None = None,
    model_name: str | None = None,
    api_key_variable: str = "",
    num_parallel: int = 8,
    requests_per_minute: float | None = None,
    timeout_seconds: float = 600.0,
    media: Path | None = None,
    split: str | None = None,
    num_frames: int | None = None,
    limit: int | None = None,
    skip_missing: bool = False,  # noqa: FBT001, FBT002 (a switch)
    train_data: Path | None = None,
    judge_url: str | None = None,
    judge_model: str | None = None,
    judge_key_variable: str = "",
    judge_folder: str | None = None,
    out: Path | None = None,
    num_shown: int = 600,
    batch_size: int = 8,
    max_new_tokens: int | None = None,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    dtype: Literal["float32", "bfloat16", "float16"] | None = None,
    max_pixels: int | None = None,
    device: str = "auto",
    harness: Literal["lmms-eval"] | None = None,
    task: list[str] | None = None,
    harness_model: str | None = None,
    include_path: Path | None = None,
) -> None:
    """Score a model, an adapter, a checkpoint or an endpoint on a benchmark; a run that was stopped continues.

    Args:
        benchmark: Its name, such as remot-bench or jsonl; docs/evaluate.md lists them.
        data: File or folder with the benchmark's rows; remot-bench is built from the library's clips without one.
        model: remot-tiny, a model folder, or a hub name in the local cache.
        adapter: Folder of trained adapters; the model they were trained on is loaded below them.
        ckpt_path: Checkpoint of a run; it holds the settings of the model.
        endpoint: Address of an OpenAI-compatible server, such as http://127.0.0.1:8000.
        model_name: Name of the model at the endpoint.
        api_key_variable: Environment variable that holds the endpoint's key; none is sent by default.
        num_parallel: Requests to the endpoint at a time.
        requests_per_minute: Requests to the endpoint a minute at most.
        timeout_seconds: Longest time of one request.
        media: Folder of images and videos; the folder of the rows by default.
        split: Split of remot-bench: train, val, test or all; test by default.
        num_frames: Frames shown of a video, instead of the benchmark's own number.
        limit: Ask the first prompts only.
        skip_missing: Leave out prompts whose media are missing, and count them.
        train_data: Folder of built prompts that the model was trained on, to name shared scenes and videos.
        judge_url: OpenAI-compatible address, up to /v1, of a model that judges free text where a benchmark needs one.
        judge_model: Name of that model.
        judge_key_variable: Environment variable that holds its key; none is sent by default.
        judge_folder: A local text model that judges or reads instead.
        out: Folder of the results; a folder of its own below evaluations by default.
        num_shown: Prompts on page.html, with frames and replies; 0 for no page.
        batch_size: Prompts answered together.
        max_new_tokens: Longest reply, instead of the benchmark's own budget.
        temperature: 0 is greedy.
        top_p: Share of probability that tokens are drawn from.
        top_k: Tokens that are drawn from, 0 for all.
        seed: Names the noise of sampling.
        dtype: Precision of the weights; float32, or that of the checkpoint's run, by default.
        max_pixels: Largest image area after resizing, instead of the model's own.
        device: auto, cpu, cuda, cuda:1 and so on.
        harness: Run lmms-eval, which has to be installed, and bring its scores into the same table and files.
        task: A task of lmms-eval; may be given several times. Without one, remot-bench is written as its task.
        harness_model: One of lmms-eval's model classes; remot is this library's own, for anything it loads.
        include_path: Folder of further tasks of lmms-eval.
    """
    weights = WeightChoice(model, adapter, ckpt_path, dtype, max_pixels, device)
    decoding = _Decoding(max_new_tokens, temperature, top_p, top_k, seed)
    if harness is not None:
        if endpoint is not None:
            msg = "--harness lmms-eval loads weights itself: give --model or --adapter, not --endpoint"
            raise ConfigError(msg)
        generation = decoding.generation()
        choice = HarnessChoice(task or (), harness_model, include_path, batch_size, limit, generation, num_frames)
        _write(*evaluate_by_harness(benchmark, data, weights, choice, out), num_shown)
        return
    if benchmark is None or task or harness_model or include_path:
        missing = "--benchmark is missing: docs/evaluate.md lists them"
        msg = missing if benchmark is None else "--task, --harness_model and --include_path belong to --harness"
        raise ConfigError(msg)
    server = EndpointChoice(
        endpoint or "", model_name, api_key_variable, num_parallel, requests_per_minute, timeout_seconds
    )
    judge = _JudgeChoice(judge_url, judge_model, judge_key_variable, judge_folder, device)
    rows = data_of(benchmark, data)
    asked = _Request(benchmark, rows, media, split, num_frames, limit, skip_missing, train_data, judge)
    evaluate(asked, weights, server if endpoint is not None else None, decoding, out, batch_size, num_shown)


@dataclass(frozen=True)
class _JudgeChoice:
    """The model that judges free text; none without an address or a folder."""

    url: str | None
    model: str | None
    key_variable: str
    folder: str | None
    device: str

    def __post_init__(self) -> None:
        if bool(self.url) != bool(self.model):
            msg = "--judge_url and --judge_model belong together; give both"
            raise ConfigError(msg)
        if self.url and self.folder:
            msg = "--judge_url and --judge_folder are both judges; give one of them"
            raise ConfigError(msg)

    @property
    def is_none(self) -> bool:
        """No judge was chosen."""
        return not self.url and not self.folder

    def grader(self, folder: Path) -> "Grader | None":
        """Asks it, and keeps its replies in the folder."""
        from remot.evaluation.benchmarks.judging import CachedGrader
        from remot.rewards.temporal.events import EndpointJudge

        judgements = folder / "judgements.jsonl"
        if self.folder is not None:
            return self._local(judgements)
        if self.url is None or self.model is None:
            return None
        judge = EndpointJudge(self.url, self.model, self.key_variable)
        return CachedGrader(judgements, f"{self.url} {self.model}", judge.ask)

    def _local(self, judgements: Path) -> "Grader":
        import torch

        from remot.evaluation.benchmarks.judging import CachedGrader
        from remot.models.loading import ModelSource
        from remot.models.text_model import TextModel

        found = "cuda" if torch.cuda.is_available() else "cpu"
        resolved = ModelSource(str(self.folder)).resolve()
        model = TextModel(resolved, found if self.device == "auto" else self.device)
        return CachedGrader(judgements, folder_digest(resolved), model.ask)


@dataclass(frozen=True)
class _Request:
    """Which prompts are asked."""

    benchmark: str
    data: Path
    media: Path | None
    split: str | None
    num_frames: int | None
    limit: int | None
    skip_missing: bool
    train_data: Path | None
    judge: _JudgeChoice

    @property
    def source(self) -> dict[str, str | int | None]:
        """From what the same prompts are read again."""
        media = None if self.media is None else str(self.media.resolve())
        return {"data": str(self.data.resolve()), "media": media, "split": self.split, "num_frames": self.num_frames}

    def __post_init__(self) -> None:
        for name in ("limit", "num_frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"--{name} {value}: give at least 1"
                raise ConfigError(msg)


@dataclass(frozen=True)
class _Decoding:
    """How they are answered."""

    max_new_tokens: int | None
    temperature: float
    top_p: float
    top_k: int
    seed: int

    def generation(self) -> dict[str, object]:
        """What differs from greedy decoding with a task's own budget, by the names of transformers."""
        settings: dict[str, object] = {}
        if self.max_new_tokens is not None:
            settings["max_new_tokens"] = self.max_new_tokens
        if self.temperature > 0:
            settings |= {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k}
        return settings

    def settings(self, budget: int) -> "AnswerSettings":
        from remot.evaluation.benchmarks.responders import AnswerSettings
        from remot.rollout.sampling import SamplingSettings

        tokens = budget if self.max_new_tokens is None else self.max_new_tokens
        return AnswerSettings(SamplingSettings(self.temperature, self.top_k, self.top_p), tokens, self.seed)


def evaluate(
    asked: _Request,
    weights: WeightChoice,
    endpoint: EndpointChoice | None,
    decoding: _Decoding,
    out: Path | None,
    batch_size: int,
    num_shown: int = 0,
) -> "Report":
    """Read, check media, answer, score, write and print, in this order."""
    from remot.commands.environment import quiet_libraries
    from remot.evaluation.benchmarks import benchmark_class
    from remot.evaluation.benchmarks.base import BenchmarkOptions
    from remot.evaluation.benchmarks.replies import ReplyStore, settings_hash
    from remot.evaluation.benchmarks.report import report_of
    from remot.evaluation.benchmarks.runner import answer_all

    quiet_libraries()
    benchmark = benchmark_class(asked.benchmark)(BenchmarkOptions(asked.media, asked.num_frames, asked.split))
    if benchmark.needs_grader and asked.judge.is_none:
        msg = f"--benchmark {benchmark.name} needs a reader: --judge_url and --judge_model, or --judge_folder"
        raise ConfigError(msg)
    prompts, facts = _prompts(benchmark, asked)
    settings = decoding.settings(benchmark.max_new_tokens)
    responder = responder_for(weights, endpoint)
    digest = settings_hash({"responder": responder.identity})[:8]
    folder = out or Path("evaluations") / f"{benchmark.name}-{_slug(responder)}-{digest}"
    store = ReplyStore(folder / "replies.jsonl")
    benchmark.options = replace(benchmark.options, grader=asked.judge.grader(folder))
    with _Progress(benchmark.name) as show:
        verdicts = benchmark.concluded(answer_all(benchmark, prompts, responder, settings, store, batch_size, show))
    report = report_of(benchmark.metrics(verdicts), verdicts, facts(responder, settings))
    _write(report, verdicts, folder, num_shown)
    return report


def _prompts(
    benchmark: "Benchmark", asked: _Request
) -> "tuple[list[BenchmarkPrompt], Callable[[Responder, AnswerSettings], Facts]]":
    """The prompts whose media are there, and what is known of them, complete but for weights and settings."""
    from remot.errors import EmptySplitError
    from remot.evaluation.benchmarks.contamination import contamination
    from remot.evaluation.benchmarks.media import with_media
    from remot.evaluation.benchmarks.report import Facts

    everything = benchmark.read(asked.data)
    chosen = everything[: asked.limit]
    prompts, missing = with_media(chosen, skip_missing=asked.skip_missing)
    if not prompts:
        msg = f"--data {asked.data}: there is no prompt of {benchmark.name} to ask, {len(chosen)} have missing media"
        raise EmptySplitError(msg)
    version = benchmark.version(asked.data)
    shared = None if asked.train_data is None else contamination(prompts, asked.train_data)

    def facts(responder: "Responder", settings: "AnswerSettings") -> Facts:
        sampling = settings.sampling
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        decoding = {"decoding": "greedy"} if sampling.is_greedy else {**drawn, "seed": settings.seed}
        return Facts(
            benchmark=benchmark.name,
            weights=responder.description,
            data=f"{asked.data}, version {version[:16]}" if version else str(asked.data),
            settings={**decoding, "max_new_tokens": settings.max_new_tokens},
            num_rows=len(everything),
            limit=asked.limit,
            num_missing_files=len(missing),
            num_skipped=len(chosen) - len(prompts),
            notes=() if shared is None else (str(shared),),
            more={"version": version, "source": asked.source, "weights_hash": responder.weights_hash}
            | ({} if shared is None else {"shared": list(shared.names)}),
        )

    return prompts, facts


def _slug(responder: "Responder") -> str:
    """The last words of the weights as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", responder.description).strip("-")[-40:].strip("-")


def _write(report: "Report", verdicts: "list[Verdict]", folder: Path, num_shown: int) -> None:
    """Print the table and write the files.

    Raises:
        ConfigError: If they cannot be written.
    """
    from remot.evaluation.benchmarks.pages import verdict_cards
    from remot.evaluation.benchmarks.report import ANSWERS_FILE, PAGE_FILE, SCORES_FILE, TABLE_FILE, write_answers
    from remot.evaluation.report import table_text, wide_console
    from remot.viewer import write_page

    facts = report.facts
    shown = f"the first {num_shown} of {len(verdicts)} prompts" if num_shown < len(verdicts) else ""

    try:
        write_answers(folder / ANSWERS_FILE, verdicts)
        (folder / SCORES_FILE).write_text(json_text(report.record(), indent=2) + "\n", encoding="utf-8")
        (folder / TABLE_FILE).write_text(table_text(report.table()), encoding="utf-8")
        if num_shown:
            cards = verdict_cards(verdicts[:num_shown], facts.benchmark)
            write_page(folder / PAGE_FILE, cards, facts.benchmark, [*report.notes(), *filter(None, [shown])])
    except OSError as error:
        msg = f"{folder}: results cannot be written ({error}); choose another folder with --out"
        raise ConfigError(msg) from error
    wide_console().print(report.table())
    written = [SCORES_FILE, ANSWERS_FILE, TABLE_FILE, PAGE_FILE if num_shown else "", "replies.jsonl"]
    shown = ", ".join(name for name in written if name and (folder / name).exists())
    write_out(f"{folder}/{shown}\n")


class _Progress:
    """A bar on the terminal's error stream; nothing where there is no terminal."""

    def __init__(self, name: str) -> None:
        from rich.progress import Progress

        self._name = name
        # Left to itself, the bar would write the standard output to the error stream as well.
        self._bar = Progress(console=console(stderr=True), transient=True, redirect_stdout=False)

    def __enter__(self) -> Callable[[int, int], None]:
        self._bar.__enter__()
        task = self._bar.add_task(self._name, total=None)
        return lambda done, total: self._bar.update(task, completed=done, total=total)

    def __exit__(self, *error: object) -> None:
        self._bar.stop()
