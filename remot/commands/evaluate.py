"""``remot evaluate``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from remot.commands.evaluate_data import DecodingChoice, RowChoice, data_of, results_folder
from remot.commands.evaluate_harness import HarnessChoice, evaluate_by_harness
from remot.commands.evaluate_judge import JudgeChoice
from remot.commands.evaluate_weights import EndpointChoice, WeightChoice, responder_for
from remot.errors import ConfigError
from remot.evaluation.benchmarks import require_benchmark
from remot.files import write_whole
from remot.strict_json import json_text
from remot.terminal import console, write_out

if TYPE_CHECKING:
    from remot.evaluation.benchmarks.base import Benchmark, BenchmarkPrompt, Verdict
    from remot.evaluation.benchmarks.replies import ReplyStore
    from remot.evaluation.benchmarks.report import Facts, Report
    from remot.evaluation.benchmarks.responders import AnswerSettings, Responder


def evaluate_command(
    rows: RowChoice,
    weights: WeightChoice,
    server: EndpointChoice,
    judge: JudgeChoice,
    decoding: DecodingChoice,
    harness: HarnessChoice,
    out: Path | None = None,
    num_shown: int = 600,
) -> None:
    """Score a model, an adapter, a checkpoint or an endpoint on a benchmark; a run that was stopped continues.

    Args:
        rows: The prompts that are asked.
        weights: The weights that answer on this machine.
        server: The model behind a server that answers instead.
        judge: The model that judges free text where a benchmark needs one, or reads captions.
        decoding: How they are answered.
        harness: What lmms-eval runs, if it is to.
        out: Folder of the results; a folder of its own below evaluations by default.
        num_shown: Prompts on page.html, with frames and replies; 0 for no page.
    """
    if num_shown < 0:
        msg = f"--num_shown {num_shown}: give a number of prompts, 0 for no page"
        raise ConfigError(msg)
    if harness.harness is not None:
        if server.endpoint is not None:
            msg = "--harness lmms-eval loads weights itself: give --model or --adapter, not --endpoint"
            raise ConfigError(msg)
        _write(*evaluate_by_harness(harness, rows, weights, decoding, out), num_shown)
        return
    if rows.benchmark is None:
        msg = "--benchmark is missing: docs/evaluate.md lists them"
        raise ConfigError(msg)
    require_benchmark(rows.benchmark)
    if harness != HarnessChoice():
        msg = "--task, --harness_model and --include_path belong to --harness"
        raise ConfigError(msg)
    report, verdicts, folder = evaluate(rows, weights, server, judge, decoding, out)
    _write(report, verdicts, folder, num_shown)


def evaluate(
    rows: RowChoice,
    weights: WeightChoice,
    server: EndpointChoice,
    judge: JudgeChoice,
    decoding: DecodingChoice,
    out: Path | None,
) -> "tuple[Report, list[Verdict], Path]":
    """Read, check media, answer and score, in this order; report, verdicts and the folder of the results."""
    from remot.commands.environment import quiet_libraries
    from remot.evaluation.benchmarks import benchmark_class
    from remot.evaluation.benchmarks.base import BenchmarkOptions
    from remot.evaluation.benchmarks.replies import ReplyStore
    from remot.evaluation.benchmarks.report import report_of
    from remot.evaluation.benchmarks.runner import answer_all

    quiet_libraries()
    assert rows.benchmark is not None
    kind = benchmark_class(rows.benchmark)
    # remot-bench may have to be built, which takes a while; hashing weights does, too
    responder = responder_for(weights, server) if rows.data is None else None
    data = data_of(rows)
    benchmark = kind(BenchmarkOptions(rows.media, rows.num_frames, rows.split))
    if benchmark.needs_grader and judge.is_none:
        msg = f"--benchmark {benchmark.name} needs a reader: --judge_url and --judge_model, or --judge_folder"
        raise ConfigError(msg)
    prompts, facts = _prompts(benchmark, rows, data)
    settings = decoding.settings(benchmark.max_new_tokens)
    responder = responder or responder_for(weights, server)
    asked = {"responder": responder.identity, "settings": asdict(settings), **rows.named()}
    words = [benchmark.name, rows.data, weights.named or server.model_name, *decoding.words()]
    folder = out or results_folder(words, asked)
    store = ReplyStore(folder / "replies.jsonl")
    benchmark.options = replace(benchmark.options, grader=judge.grader(folder, weights.device))
    with _Progress(benchmark.name) as show, _forgotten_if_empty(store):
        replies = answer_all(benchmark, prompts, responder, settings, store, decoding.batch_size, show)
        verdicts = benchmark.concluded(replies)
    return report_of(benchmark.metrics(verdicts), verdicts, facts(responder, settings)), verdicts, folder


@contextmanager
def _forgotten_if_empty(store: "ReplyStore") -> Iterator[None]:
    """A failure before the first reply leaves no folder behind, which would pass for an evaluation."""
    try:
        yield
    except BaseException:
        store.forget()
        raise


def _prompts(
    benchmark: "Benchmark", rows: RowChoice, data: Path
) -> "tuple[list[BenchmarkPrompt], Callable[[Responder, AnswerSettings], Facts]]":
    """The prompts whose media are there, and what is known of them, complete but for weights and settings."""
    from remot.errors import EmptySplitError
    from remot.evaluation.benchmarks.contamination import contamination
    from remot.evaluation.benchmarks.media import with_media
    from remot.evaluation.benchmarks.report import Facts

    everything = benchmark.read(data)
    chosen = everything[: rows.limit]
    prompts, missing = with_media(chosen, skip_missing=rows.skip_missing)
    if not prompts:
        msg = f"--data {data}: there is no prompt of {benchmark.name} to ask, {len(chosen)} have missing media"
        raise EmptySplitError(msg)
    version = benchmark.version(data)
    shared = None if rows.train_data is None else contamination(prompts, rows.train_data)

    def facts(responder: "Responder", settings: "AnswerSettings") -> Facts:
        sampling = settings.sampling
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        decoding = {"decoding": "greedy"} if sampling.is_greedy else {**drawn, "seed": settings.seed}
        return Facts(
            benchmark=benchmark.name,
            weights=responder.description,
            data=f"{data}, version {version[:16]}" if version else str(data),
            settings={**decoding, "max_new_tokens": settings.max_new_tokens},
            num_rows=len(everything),
            limit=rows.limit,
            num_missing_files=len(missing),
            num_skipped=len(chosen) - len(prompts),
            notes=() if shared is None else (str(shared),),
            more={"version": version, "source": rows.source(data), "weights_hash": responder.weights_hash}
            | ({} if shared is None else {"shared": list(shared.names)}),
        )

    return prompts, facts


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
        write_whole(folder / SCORES_FILE, json_text(report.record(), indent=2) + "\n")
        write_whole(folder / TABLE_FILE, table_text(report.table()))
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
