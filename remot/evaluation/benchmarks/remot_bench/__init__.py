"""``remot-bench``: the held-out prompts of a folder that ``remot data build`` wrote."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from remot.data.records.folder import RECORDS, read_manifest
from remot.data.records.jsonl import SPLITS, read_lines
from remot.data.records.parsing import from_record
from remot.data.records.schema import BuiltPrompt
from remot.data.records.tables import media_file
from remot.errors import ConfigError, EmptySplitError
from remot.evaluation.benchmarks.base import Benchmark, BenchmarkPrompt, Metric, ModelReply, Verdict, mean_of
from remot.evaluation.benchmarks.remot_bench.chance import Baselines, baselines_of, task_baselines
from remot.evaluation.scores import MIXED, attribute_of, judge
from remot.rewards.answers.typed import answer_scores, answer_text, read_answer
from remot.rewards.functional.letters import share_of_directions, share_right
from remot.structures import Question

#: Attributes by their first word, for the two groups that ReMoT reports (arXiv 2603.00461, Table 1).
GROUPS = {"camera": ("camera_",), "gripper": ("effector_", "gripper")}
#: Domains of clips that were recorded from a game or another simulator.
SIMULATED = ("simulation", "game")
DOMAINS = ("navigation", "manipulation", "composite", "simulation", "perception")
#: What a question without letters is compared with, the first that its reference has.
REFERENCE_TYPES = {"number": "number", "intervals": "intervals", "boxes": "boxes", "answer": "word"}


class RemotBench(Benchmark):
    """Overall, Partial, logic, format and directions, with what is reached without images beside each.

    Prompts with lettered or numbered slots are scored as in training; other tasks by the type of their reference, and
    those that have nothing of :data:`REFERENCE_TYPES`, such as maps, are counted and not scored.
    """

    name: ClassVar[str] = "remot-bench"
    max_new_tokens: ClassVar[int] = 512

    def version(self, data: Path) -> str:
        """Hash of what the manifest says of the prompts: settings, seeds, hashes of the clips and of the prompts.

        Where the clips lay and which version of the library wrote the folder are not part of it.
        """
        manifest = read_manifest(data)
        held = {key: manifest.get(key) for key in ("format", "data", "seeds", "sources", "sha256")}
        return hashlib.sha256(json.dumps(held, sort_keys=True, allow_nan=False).encode()).hexdigest()

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The prompts of one split, the test split unless told otherwise, or of ``all``.

        Raises:
            EmptySplitError: If the split has no prompt.
        """
        read_manifest(data)
        split = self.options.split or "test"
        if split not in (*SPLITS, "all"):
            msg = f"--split {split}: choose from {', '.join(SPLITS)}, all"
            raise ConfigError(msg)
        file = data / RECORDS
        root = self.options.media or data
        prompts = []
        for number, record in read_lines(file):
            where = f"{file}: line {number}"
            built = from_record(where, record)
            if split in (built.split, "all"):
                prompts.append(bench_prompt(where, built, root))
        if not prompts:
            msg = f"{file}: the {split} split holds no prompt; choose another with --split"
            raise EmptySplitError(msg)
        return prompts

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401
        """The letters given, or the answer of the reference's type; None if there is none."""
        question: Question = prompt.row
        if question.slots:
            return judge(text, question).answer or None
        kind = reference_type(question)
        return answer_text(text) or None if kind is None else read_answer(answer_text(text), kind)

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401
        """Scores of the slots, or ``score`` and ``right`` of another task."""
        question: Question = prompt.row
        if question.slots:
            judged = judge(reply.text, question)
            return {
                "overall": judged.overall,
                "partial": judged.partial,
                "partial_strict": share_right(judged.answer, question, strict_length=True),
                "logic": float("nan") if judged.logic != judged.logic else float(judged.logic == 1.0),
                "format": judged.format,
                "direction": share_of_directions(judged.answer, question),
            }
        kind = reference_type(question)
        return {} if kind is None else answer_scores(parsed, prompt.gold, kind)

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """All letters, then by group, attribute, domain, origin of the clips, and task."""
        slotted = [one for one in verdicts if one.prompt.row.slots]
        others = [one for one in verdicts if not one.prompt.row.slots]
        baselines = baselines_of([one.prompt.row for one in slotted])
        found = _slot_metrics("", slotted, baselines) if slotted else []
        for prefix, key in _GROUPINGS:
            for name, group in _groups(slotted, key).items():
                found += _slot_metrics(f"{prefix}/{name}/", group, baselines)
        for name, group in _groups(others, lambda question: question.task).items():
            scored = [one for one in group if one.scores]
            note = "" if len(scored) == len(group) else f"{len(group) - len(scored)} without a type that is scored here"
            blind = task_baselines([one.prompt.row for one in scored])
            for metric, score in (("success", "right"), ("score", "score")):
                found.append(Metric(f"task/{name}/{metric}", mean_of(scored, score), note, blind.get(score, {})))
                note = ""
        return found


def domain_of(question: Question) -> str:
    """Which of :data:`DOMAINS` a prompt belongs to.

    Prompts without letters, and those about objects, are perception; of the others those about recorded clips are
    simulation, those about the four corners composite, those about arms and grippers manipulation, and those about the
    camera or an agent navigation.
    """
    attribute = attribute_of(question)
    if not question.slots or attribute.startswith(("object_", "mask_")):
        return "perception"
    if question.domain in SIMULATED:
        return "simulation"
    if attribute.endswith("_composite") or attribute == MIXED:
        return "composite"
    return "manipulation" if attribute.startswith(GROUPS["gripper"]) else "navigation"


def reference_type(question: Question) -> str | None:
    """How an answer without slots is read and scored; None if this benchmark cannot."""
    reference = question.reference
    held = (name for name in REFERENCE_TYPES if reference is not None and getattr(reference, name) is not None)
    name = next(held, None)
    return None if name is None else REFERENCE_TYPES[name]


def bench_prompt(where: str, built: BuiltPrompt, root: Path) -> BenchmarkPrompt:
    """A built prompt as this benchmark asks it; ``where`` is for messages, ``root`` the folder of its images."""
    question = built.question
    gold: Any = question.solution if question.slots else question.target
    if not question.slots and question.reference is not None:
        reference = question.reference
        gold = next((value for name in REFERENCE_TYPES if (value := getattr(reference, name)) is not None), gold)
    return BenchmarkPrompt(
        prompt_id=question.prompt_id,
        text=question.text,
        gold=gold,
        scene=question.scene_id,
        images=tuple(media_file(where, image, root) for image in built.images),
        image_seconds=tuple(frame.pts_seconds for frame in built.frames) if built.as_video else (),
        sources=(question.scene_id, built.clip_id),
        row=question,
        as_pairs=built.as_pairs,
    )


def _group_of(question: Question) -> str:
    attribute = attribute_of(question)
    return next((name for name, starts in GROUPS.items() if attribute.startswith(starts)), "")


#: Prefix and key of each way to divide prompts with slots.
_GROUPINGS: tuple[tuple[str, Callable[[Question], str]], ...] = (
    ("group", _group_of),
    ("attribute", attribute_of),
    ("domain", domain_of),
    ("clips", lambda question: question.domain),
)


def _groups(verdicts: Sequence[Verdict], key: Callable[[Question], str]) -> dict[str, list[Verdict]]:
    groups: dict[str, list[Verdict]] = {}
    for one in verdicts:
        groups.setdefault(key(one.prompt.row), []).append(one)
    return {name: groups[name] for name in sorted(groups) if name}


def _slot_metrics(prefix: str, verdicts: Sequence[Verdict], baselines: Baselines) -> list[Metric]:
    """Overall, both forms of Partial, directions where any is named, and at the top logic and format."""
    names = [one.prompt.prompt_id for one in verdicts]
    notes = {
        "overall": "all letters right and nothing else",
        "partial_strict": "share of right letters, 0 for another number of letters",
        "partial": "as published: by position, further letters cost nothing",
        "logic": "answers can be true together; prompts that ask about all pairs",
        "format": "keeps the answer contract",
        "direction": "of letters that name a motion where there was one, the share that names the right one",
    }
    shown = ("overall", "partial_strict", "partial", "direction") if prefix else tuple(notes)
    return [
        Metric(prefix + name, mean_of(verdicts, name), "" if prefix else notes[name], baselines.of(name, names))
        for name in shown
        if name != "direction" or any(one.scores["direction"] == one.scores["direction"] for one in verdicts)
    ]
