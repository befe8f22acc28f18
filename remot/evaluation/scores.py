"""From completions to mean scores with intervals that respect that prompts of one scene are alike.

Notation: B completions, S scenes, M metrics, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from remot.answers import parse_response
from remot.errors import EmptySplitError
from remot.evaluation.estimates import Estimate, interval, scene_draws
from remot.rewards.functional import all_right, format_ok, logic_score, predicted_codes, share_right
from remot.structures import FloatArray, Question

#: The scores every table has, in the order of reports.
METRICS = ("overall", "partial", "logic", "format", "cut_off")
MIXED = "mixed"
_OF, _TASK = "attribute/", "task/"
#: The scores of a task, which follow from its reward.
TASK_METRICS = ("total", "success")
#: Additional metrics of a task whose clips may be shown again: total and success of the first answers, share of
#: completions that were asked again, and how much the total gained by it.
PERCEPTION_METRICS = ("first_total", "first_success", "asked_again", "gain")


@dataclass(frozen=True)
class JudgedCompletion:
    """One completion and what it is worth.

    Args:
        prompt_id: Prompt it completes.
        scene_id: Scene of the prompt's clip, the unit of resampling.
        domain: Domain of the clip.
        attribute: Attribute all slots ask about, ``mixed`` if they ask about several, "" if there are none.
        solution: The right letters.
        answer: The letters given.
        completion: The whole text.
        partial: Share of right letters in [0, 1] as the public ReMoT evaluation counts it; NaN without slots.
        overall: 1 if all letters are right and nothing else was said, else 0; NaN without slots.
        logic: +1 if the answers can be true together, -1 if they contradict each other, 0 if undetermined; in
            between for several groups of answers; NaN if the question does not ask about all pairs of anything.
        format: 1 if the completion keeps the answer contract, else 0; NaN without slots.
        num_tokens: Length of the completion, 0 if unknown.
        task: Name of the task, "" for triplets alone.
        total: Reward of the task, NaN if it was not scored.
        success: 1 if the reward calls it a success, else 0; NaN if it was not scored.
        rewards: The total and the parts that are applicable.
        num_perceptions: How often the clip was shown, see :mod:`remot.evaluation.perception`.
        first_completion: The answer to the first perception, "" where there can be no second one.
        first_total: Its total, NaN where there can be no second perception.
        first_success: 1 if it was a success, else 0; NaN likewise.
        cut_off: True if the completion did not end by itself within the budget of new tokens; None if unknown.
    """

    prompt_id: str
    scene_id: str
    domain: str
    attribute: str
    solution: str
    answer: str
    completion: str
    partial: float
    overall: float
    logic: float
    format: float
    num_tokens: int = 0
    task: str = ""
    total: float = float("nan")
    success: float = float("nan")
    rewards: Mapping[str, float] = field(default_factory=dict)
    num_perceptions: int = 1
    first_completion: str = ""
    first_total: float = float("nan")
    first_success: float = float("nan")
    cut_off: bool | None = None


@dataclass(frozen=True)
class ScoreTable:
    """The scores of one policy on one split, decoded in one way.

    Args:
        overall: Share of completions that are right altogether.
        partial: Share of right letters.
        logic: Share of completions whose answers can be true together (logic = +1).
        format: Share of completions that keep the answer contract.
        cut_off: Share of completions that did not end by themselves; NaN if unknown.
        attributes: Partial score of each attribute.
        tasks: Total and success of each task, such as ``tracking/total``, and ``success`` of all prompts of tasks;
            where clips may be shown again, :data:`PERCEPTION_METRICS` too.
        scenes: The scenes resampled, sorted.
        num_prompts: Different prompts.
        num_completions: Completions.
        mean_num_tokens: Mean length of a completion in tokens.
    """

    overall: Estimate
    partial: Estimate
    logic: Estimate
    format: Estimate
    cut_off: Estimate
    attributes: Mapping[str, Estimate]
    scenes: tuple[str, ...]
    num_prompts: int
    num_completions: int
    mean_num_tokens: float
    tasks: Mapping[str, Estimate] = field(default_factory=dict)

    def estimates(self) -> dict[str, Estimate]:
        """All scores by metric key: ``overall`` … ``format``, ``attribute/NAME/partial``, ``task/NAME/total`` ….

        Scores of letters are left out where there are tasks and none has any, and what is cut off where it is unknown.
        """
        scores = {name: getattr(self, name) for name in METRICS}
        optional = METRICS if self.tasks else ("cut_off",)
        scores = {name: score for name, score in scores.items() if name not in optional or not np.isnan(score.mean)}
        scores |= {metric_key(f"{_OF}{name}"): score for name, score in self.attributes.items()}
        return scores | {f"{_TASK}{name}": score for name, score in self.tasks.items()}


def attribute_of(question: Question) -> str:
    """The one attribute a question asks about, ``mixed`` if several or none."""
    names = {slot.label.attribute for slot in question.slots}
    return names.pop() if len(names) == 1 else MIXED


def judge(completion: str, question: Question, *, num_tokens: int = 0, cut_off: bool | None = None) -> JudgedCompletion:
    """Score one completion; never raises, whatever the completion says."""
    task = str(getattr(question, "task", ""))
    if task and not question.slots:
        return replace(_unjudged(completion, question, task, num_tokens), cut_off=cut_off)
    parsed = parse_response(completion)
    has_logic = any(predicted_codes(parsed.answer, question).values())
    return JudgedCompletion(
        prompt_id=question.prompt_id,
        scene_id=question.scene_id,
        domain=question.domain,
        attribute=attribute_of(question),
        solution=question.solution,
        answer=parsed.answer,
        completion=completion,
        partial=share_right(parsed.answer, question, strict_length=False),
        overall=float(all_right(parsed.answer, question)),
        logic=logic_score(parsed.answer, question) if has_logic else float("nan"),
        format=float(format_ok(parsed, question)),
        num_tokens=num_tokens,
        task=task,
        cut_off=cut_off,
    )


def _unjudged(completion: str, question: Question, task: str, num_tokens: int) -> JudgedCompletion:
    """An answer without letters, which the reward of its task is to judge."""
    nan = float("nan")
    return JudgedCompletion(
        prompt_id=question.prompt_id,
        scene_id=question.scene_id,
        domain=question.domain,
        attribute="",
        solution=question.target,
        answer=parse_response(completion).answer,
        completion=completion,
        partial=nan,
        overall=nan,
        logic=nan,
        format=nan,
        num_tokens=num_tokens,
        task=task,
    )


def score_table(judged: Sequence[JudgedCompletion], *, seed: int = 0, num_resamples: int = 1000) -> ScoreTable:
    """Mean scores with 95 % percentile intervals from resampling whole scenes.

    Args:
        judged: Any number of completions of any number of prompts.
        seed: Names the resamples; tables over the same scenes with the same seed are resampled alike.
        num_resamples: Bootstrap resamples R.

    Raises:
        EmptySplitError: If there is no completion.
    """
    if not judged:
        msg = "there is no completion to score; the evaluated split is empty"
        raise EmptySplitError(msg)
    columns = score_columns(judged)
    scenes = tuple(sorted({one.scene_id for one in judged}))
    place = {scene: i for i, scene in enumerate(scenes)}
    scene_of = np.array([place[one.scene_id] for one in judged])
    values = np.stack(list(columns.values()), axis=1)  # [B, M]
    estimates = dict(zip(columns, _bootstrap(values, scene_of, len(scenes), seed, num_resamples), strict=True))
    return ScoreTable(
        **{name: estimates.pop(name) for name in METRICS},
        attributes={name.removeprefix(_OF): one for name, one in estimates.items() if name.startswith(_OF)},
        tasks={name.removeprefix(_TASK): one for name, one in estimates.items() if name.startswith(_TASK)},
        scenes=scenes,
        num_prompts=len({one.prompt_id for one in judged}),
        num_completions=len(judged),
        mean_num_tokens=float(np.mean([one.num_tokens for one in judged])),
    )


def score_columns(judged: Sequence[JudgedCompletion]) -> dict[str, FloatArray]:
    """One [B] column per metric, then one per attribute; NaN where a completion has no part in it."""
    logic = np.array([one.logic for one in judged])
    partial = np.array([one.partial for one in judged])
    attribute = np.array([one.attribute for one in judged])
    columns = {
        "overall": np.array([one.overall for one in judged]),
        "partial": partial,
        "logic": np.where(np.isnan(logic), np.nan, logic == 1.0),
        "format": np.array([one.format for one in judged]),
        "cut_off": np.array([np.nan if one.cut_off is None else float(one.cut_off) for one in judged]),
    }
    names = [str(name) for name in np.unique(attribute) if name]
    return (
        columns | {_OF + name: np.where(attribute == name, partial, np.nan) for name in names} | _task_columns(judged)
    )


def metric_key(column: str) -> str:
    """The key of a column in metrics and records, which for an attribute ends in ``/partial``."""
    return f"{column}/partial" if column.startswith(_OF) else column


def _task_columns(judged: Sequence[JudgedCompletion]) -> dict[str, FloatArray]:
    """For each task that was scored the columns of its metrics, and one of the success at any task.

    None where there are triplets alone: ``overall`` is their success already.
    """
    task = np.array([one.task for one in judged])
    if len(np.unique(task)) == 1 and not any(np.isnan(one.overall) for one in judged):
        return {}
    scored = {"total": np.array([one.total for one in judged]), "success": np.array([one.success for one in judged])}
    names = sorted({one.task for one in judged if one.task and not np.isnan(one.success)})
    # NaN where there can be no second perception
    first = np.array([one.first_total for one in judged])
    success = np.array([one.first_success for one in judged])
    asked = np.where(np.isnan(success), np.nan, np.array([one.num_perceptions > 1 for one in judged], dtype=float))
    columns_again = (first, success, asked, scored["total"] - first)
    resampled = dict(zip(PERCEPTION_METRICS, columns_again, strict=True))
    again = {one.task for one in judged if not np.isnan(one.first_success)}
    columns = {
        f"{_TASK}{name}/{metric}": np.where(task == name, column, np.nan)
        for name in names
        for metric, column in (scored | resampled if name in again else scored).items()
    }
    return columns | ({f"{_TASK}success": scored["success"]} if names else {})


def _bootstrap(
    values: FloatArray, scene_of: np.ndarray, num_scenes: int, seed: int, num_resamples: int
) -> list[Estimate]:
    """Estimates of the M columns of ``values`` [B, M]; resampling S of S scenes is drawing how often each comes up."""
    present = ~np.isnan(values)
    sums, counts = np.zeros((num_scenes, values.shape[1])), np.zeros((num_scenes, values.shape[1]))
    np.add.at(sums, scene_of, np.where(present, values, 0.0))
    np.add.at(counts, scene_of, present.astype(float))
    times = scene_draws(num_scenes, seed, num_resamples)  # [R, S]
    with np.errstate(invalid="ignore"):
        replicates = (times @ sums) / (times @ counts)  # [R, M]; NaN where a resample has none of the metric
        means = sums.sum(0) / counts.sum(0)
    num = (counts > 0).sum(0)
    return [
        interval(float(means[m]), replicates[:, m] if num[m] >= 2 else np.empty(0), int(num[m]))
        for m in range(len(means))
    ]


def change_between(base: ScoreTable, final: ScoreTable) -> dict[str, Estimate]:
    """Final minus base for each score both tables have.

    The interval is that of the *paired* difference, scene by scene, so it is much tighter than the two intervals
    beside each other suggest. It is NaN unless both tables cover the same scenes and were resampled alike.
    """
    before, after = base.estimates(), final.estimates()
    changes = {}
    for name in (name for name in after if name in before):
        old, new = before[name], after[name]
        paired = base.scenes == final.scenes and old.replicates.shape == new.replicates.shape
        difference = new.replicates - old.replicates if paired else np.empty(0)
        changes[name] = interval(new.mean - old.mean, difference, min(old.num_scenes, new.num_scenes))
    return changes
