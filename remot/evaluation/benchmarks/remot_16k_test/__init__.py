"""``remot-16k-test``: the test files that ReMoT published (arXiv 2603.00461)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from remot.answers import parse_response
from remot.data.records.jsonl import read_lines, user_text
from remot.data.records.tables import string_in
from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks.base import (
    Benchmark,
    BenchmarkPrompt,
    Combined,
    Metric,
    ModelReply,
    Statistic,
    Verdict,
    mean_of,
    plain_mean,
)
from remot.evaluation.benchmarks.rows import images_of_row
from remot.rewards.functional.letters import official_partial

FILES = ("agibot", "scannet", "generaldata")
#: Positions of the letters of each group of camera questions, by what they ask.
CAMERA_GROUPS = {
    "horizontal_direction": (0, 4, 8),
    "vertical_direction": (2, 6, 10),
    "horizontal_angle": (1, 5, 9),
    "vertical_angle": (3, 7, 11),
}
AGIBOT_CLASSES = ("grab_release", "lift_lower", "move_lr", "move_complex")
#: Printed columns of ``generaldata`` by the folder below ``generaldata_resize``.
GENERAL_CLASSES = {"mm": "rel_pos", "om": "grounding", "vl": "counting"}
_GENERAL = re.compile(r"generaldata_resize/([^/]+)/(?:.*/)?images")
_SCANNET_SCENE = re.compile(r"scene\d{4}_\d{2}")


class Remot16KTest(Benchmark):
    """Class columns of the paper's table, and averages of the three files."""

    name: ClassVar[str] = "remot-16k-test"
    #: The default of the published script; the paper's own runs had 10,000.
    max_new_tokens: ClassVar[int] = 128

    def read(self, data: Path) -> list[BenchmarkPrompt]:
        """The prompts of one file, or of the three files ``NAME/test.jsonl`` of a folder."""
        below = (data / part for name in FILES for part in (f"{name}/test.jsonl", f"{name}.jsonl"))
        files = [data] if data.is_file() else [file for file in below if file.is_file()]
        if not files:
            msg = f"--data {data}: holds none of {', '.join(f'{name}/test.jsonl' for name in FILES)}"
            raise ConfigError(msg)
        prompts = []
        for file in files:
            named = [name for name in FILES if name in f"{file.parent.name}/{file.name}"]
            if len(named) != 1:
                msg = f"--data {file}: name the file or its folder after one of {', '.join(FILES)}"
                raise ConfigError(msg)
            root = self.options.media or (data if data.is_dir() else file.parent)
            for number, record in read_lines(file):
                prompts.append(_prompt(f"{file}: line {number}", record, named[0], number, root))
        return prompts

    def parse(self, prompt: BenchmarkPrompt, text: str) -> Any:  # noqa: ANN401, ARG002
        """The first answer element, else what follows ``</think>``, upper-cased; None if that is empty."""
        return parse_response(text).answer or None

    def score(self, prompt: BenchmarkPrompt, parsed: Any, reply: ModelReply) -> dict[str, float]:  # noqa: ANN401, ARG002
        """``exact`` and ``partial``, and whether each group of camera questions is right."""
        said, gold = parsed or "", str(prompt.gold)
        scores = {"exact": float(said == gold), "partial": official_partial(said, gold)}
        if prompt.row["source"] != "scannet":
            return scores
        for name, places in CAMERA_GROUPS.items():  # places beyond the end of either text are dropped before
            first, second = ([text[k] for k in places if k < len(text)] for text in (said, gold))
            scores[name] = float(first == second)
        return scores

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """Averages of the files, then the columns."""
        files = {name: [one for one in verdicts if one.prompt.row["source"] == name] for name in FILES}
        present = [group for group in files.values() if group]
        note = f"plain mean of {len(present)} of 3 files"
        found = [
            Metric("avg/overall", plain_mean([mean_of(group, "exact") for group in present]), note),
            Metric("avg/partial", plain_mean([mean_of(group, "partial") for group in present]), note),
        ]
        for name, group in files.items():
            if group:
                found.append(Metric(f"{name}/overall", mean_of(group, "exact")))
                found.append(Metric(f"{name}/partial", mean_of(group, "partial")))
        return [*found, *_camera(files["scannet"]), *_gripper(files["agibot"]), *_general(files["generaldata"])]


def _prompt(where: str, record: dict[str, Any], source: str, number: int, root: Path) -> BenchmarkPrompt:
    missing = [key for key in ("images", "messages", "solution") if key not in record]
    if missing:
        msg = f"{where}: has no {missing[0]}"
        raise AnnotationError(msg, reason="missing")
    gold = parse_response(string_in(where, record, "solution")).answer
    if not gold:
        msg = f"{where}: solution has no text between <answer> and </answer>"
        raise AnnotationError(msg, reason="missing")
    names = [str(name) for name in record["images"]] if isinstance(record["images"], list) else []
    paths = "\n".join(names)
    scene = _SCANNET_SCENE.search(paths)
    first = scene[0] if scene else next(iter(names), str(number))
    return BenchmarkPrompt(
        prompt_id=f"{source}/{record.get('id', number)}",
        text=user_text(where, record["messages"]),
        gold=gold,
        scene=first,
        images=images_of_row(where, record["images"], root),
        sources=(first, *names),
        row={"source": source, "class": _class_of(source, next(iter(names), ""))},
    )


def _class_of(source: str, image: str) -> str:
    """By the path of the first image; "" if it names none."""
    if source == "agibot":
        return next((name for name in AGIBOT_CLASSES if name in image.rpartition("/")[2]), "")
    general = _GENERAL.search(image) if source == "generaldata" else None
    return GENERAL_CLASSES.get(general[1], general[1]) if general else ""


def _camera(group: Sequence[Verdict]) -> list[Metric]:
    if not group:
        return []
    parts = {name: mean_of(group, name) for name in CAMERA_GROUPS}
    return [
        Metric(
            "camera/overall",
            plain_mean(list(parts.values()), same_units=True),
            "mean of the four groups, all three letters right",
        ),
        Metric("camera/partial", mean_of(group, "partial")),
        *(Metric(f"camera/{name}", part) for name, part in parts.items()),
    ]


def _gripper(group: Sequence[Verdict]) -> list[Metric]:
    by_class = {name: [one for one in group if one.prompt.row["class"] == name] for name in AGIBOT_CLASSES}
    columns = {
        "gripper_move": ("move_lr", "lift_lower"),
        "gripper_state": ("grab_release",),
        "composite": ("move_complex",),
    }
    found = []
    for column, names in columns.items():
        for name, score in (("overall", "exact"), ("partial", "partial")):
            parts = [mean_of(by_class[one], score) for one in names if by_class[one]]
            if parts:
                found.append(Metric(f"{column}/{name}", plain_mean(parts)))
    return found


def _general(group: Sequence[Verdict]) -> list[Metric]:
    """The larger of exact and partial: "TRUE" for T is right by its first letter."""
    found = []
    for column in GENERAL_CLASSES.values():
        rows = [one for one in group if one.prompt.row["class"] == column]
        if rows:
            parts: list[Statistic] = [mean_of(rows, "exact"), mean_of(rows, "partial")]
            larger = Combined(parts, lambda values: values.max(0), same_units=True)
            found.append(Metric(column, larger, "as published: the larger of exact and per letter"))
            found.append(Metric(f"{column}/exact", parts[0]))
    return found
