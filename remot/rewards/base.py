"""The interface of rewards: completions and their questions in, totals and named parts out."""

import logging
import math
import os
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath

import torch
from torch import Tensor

from remot.answers import MAX_COMPLETION_CHARS, ParsedAnswer, parse_response
from remot.errors import RemotError, RewardError, require_types, text_of
from remot.rewards.functional import all_right
from remot.seeding import global_randomness
from remot.structures import Question, Reference, RewardOutput, reference_of
from remot.structures.training import UNNAMED
from remot.terminal import printable

#: Characters of an exception's text, and of a completion, in an error message; prompts that are named.
MAX_REASON_CHARS, MAX_SHOWN_CHARS, MAX_NAMED_PROMPTS = 300, 120, 4
#: A reward that computes for so long is reported.
REPORT_SECONDS = 60.0
#: Exit code of a process that a reward forks and that does not end within it.
FORKED = 70

_LOG = logging.getLogger(__name__)


class Reward(ABC):
    """Scores completions. Subclass :class:`PointwiseReward` unless a score depends on the other completions.

    Attributes:
        name: Metric key.
    """

    name: str

    @abstractmethod
    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Score a flat list of B completions.

        Args:
            completions: B texts; hostile, nothing in them may raise.
            questions: B questions, the question of a prompt repeated for each of its completions.

        Returns:
            Totals, parts and successes, each [B].
        """

    def rate(
        self,
        completions: Sequence[str],
        questions: Sequence[Question],
        num_tokens: Sequence[int],  # noqa: ARG002 - for rewards that need it
    ) -> RewardOutput:
        """As :meth:`__call__`, for callers that know how many tokens each of the B completions has.

        Args:
            completions: B texts.
            questions: B questions.
            num_tokens: B numbers of tokens, the end of turn included.
        """
        return self(completions, questions)


def check_lengths(completions: Sequence[str], questions: Sequence[Question]) -> None:
    """Refuse lists of different lengths, and of anything but texts and questions.

    Raises:
        ValueError: If there is not one question for each completion.
        ArgumentTypeError: With what to pass, such as a ``Question`` in place of its letters.
    """
    require_types("completions", completions, str)
    if any(isinstance(question, str) for question in questions):
        require_types("questions", questions, Question)
    if len(completions) != len(questions):
        msg = f"{len(completions)} completions but {len(questions)} questions; repeat the question per completion"
        raise ValueError(msg)


class PointwiseReward(Reward):
    """A reward of one completion at a time; subclasses implement :meth:`score`."""

    @abstractmethod
    def score(self, parsed: ParsedAnswer, question: Question) -> Mapping[str, float]:
        """Parts of one completion, among them the total under :attr:`name`; NaN marks "not applicable".

        Must not raise, whatever the completion says, and must return the same keys for every completion.
        """

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Score a flat list of B completions; one succeeds if its answer is exactly the solution.

        A question without slots has no solution: it cannot fail here, and does not count as judged.
        """
        check_lengths(completions, questions)
        answers = [parse_response(completion) for completion in completions]
        rows = [self.score(parsed, question) for parsed, question in zip(answers, questions, strict=True)]
        keys = tuple(rows[0]) if rows and isinstance(rows[0], Mapping) else (self.name,)
        for number, (row, question) in enumerate(zip(rows, questions, strict=True)):
            _require_parts(row, (self.name, *keys), f"completion {number} of prompt {question.prompt_id}")
        parts = {key: as_column(f"part {key}", [row[key] for row in rows]) for key in keys}
        success, judged = letters_right(answers, questions)
        return RewardOutput(total=parts[self.name], parts=parts, success=success, judged=judged)


def letters_right(answers: Sequence[ParsedAnswer], questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
    """Whether each answer is exactly the solution [B], and whether its question has slots, hence a solution [B]."""
    judged = [bool(question.slots) for question in questions]
    right = [
        not has_slots or all_right(parsed.answer, question)
        for has_slots, parsed, question in zip(judged, answers, questions, strict=True)
    ]
    return torch.tensor(right, dtype=torch.bool), torch.tensor(judged, dtype=torch.bool)


def _require_parts(row: object, keys: Sequence[str], where: str) -> None:
    """Refuse a score that is no mapping with exactly these keys.

    Raises:
        RewardError: Naming the key and the completion.
    """
    if not isinstance(row, Mapping):
        msg = f"a {type(row).__name__} for {where}, expected parts by name, among them {keys[0]!r}"
        raise RewardError(msg, reason=UNNAMED)
    if missing := [key for key in keys if key not in row]:
        msg = f"no part {missing[0]!r} for {where}, expected {', '.join(dict.fromkeys(keys))}"
        raise RewardError(msg, reason=UNNAMED)
    if more := [key for key in row if key not in keys]:
        msg = f"a part {str(more[0])[:40]!r} for {where}, expected {', '.join(keys[1:])} as for the first one"
        raise RewardError(msg, reason=UNNAMED)


class ReferenceReward(Reward):
    """A reward that compares one completion at a time with the reference of its question.

    A question without slots and without a reference has nothing to compare with; see
    :func:`remot.structures.reference_of`.

    Attributes:
        name: Metric key; the total's part.
        extra_parts: Names of further parts that :meth:`score` returns.
        success_part: Part that decides whether a completion succeeds; the total if "".
        success_at: Value of that part from which it does; None for a reward that does not determine success.
    """

    extra_parts: tuple[str, ...] = ()
    success_part: str = ""
    success_at: float | None = 1.0

    @abstractmethod
    def score(self, completion: str, reference: Reference) -> float | Mapping[str, float] | None:
        """The total, or all parts with the total under :attr:`name`; None where the reward is not applicable.

        Must not raise, whatever the completion says.

        Args:
            completion: The text, cut off after ``MAX_COMPLETION_CHARS`` characters.
            reference: What to compare it with.
        """

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Score a flat list of B completions; NaN where the reward is not applicable, which is no success."""
        check_lengths(completions, questions)
        keys = (self.name, *self.extra_parts)
        rows = []
        for text, question in zip(completions, questions, strict=True):
            scored = self.score(text[:MAX_COMPLETION_CHARS], reference_of(question))
            if not isinstance(scored, Mapping):
                scored = dict.fromkeys(keys, math.nan) if scored is None else {self.name: scored}
            rows.append([scored.get(key) for key in keys])
        parts = {key: as_column(f"part {key}", [row[column] for row in rows]) for column, key in enumerate(keys)}
        total = parts[self.name]
        judged = parts[self.success_part or self.name]
        # Compared as float32, so the threshold is rounded as the scores are.
        success = ~judged.isnan() if self.success_at is None else judged >= self.success_at
        is_judged = ~judged.isnan() & (self.success_at is not None)
        return RewardOutput(total=total, parts=parts, success=success, judged=is_judged)


class WrapperReward(Reward):
    """A reward around other rewards, to which it passes on the numbers of tokens where these are known."""

    @abstractmethod
    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """Score a flat list of B completions.

        Args:
            completions: B texts.
            questions: B questions.
            num_tokens: B numbers of tokens, None if they are not known.
        """

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """See :meth:`Reward.__call__`."""
        check_lengths(completions, questions)
        return self.score(completions, questions, None)

    def rate(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int]
    ) -> RewardOutput:
        """See :meth:`Reward.rate`."""
        check_lengths(completions, questions)
        return self.score(completions, questions, num_tokens)


@contextmanager
def _own_globals(reward: Reward, questions: Sequence[Question]) -> Iterator[None]:
    """Computes with float32, and undoes what a reward has set for the whole process.

    What it draws from global generators depends on their seed, which is that of the step, and the prompts.
    """
    before, has_gradient = torch.get_default_dtype(), torch.is_grad_enabled()
    address = name_of(reward), *(question.prompt_id for question in questions)
    torch.set_default_dtype(torch.float32)
    try:
        with global_randomness(torch.initial_seed(), "reward", *address):
            yield
    finally:
        torch.set_default_dtype(before)
        torch.set_grad_enabled(has_gradient)


def scored_by(
    reward: Reward, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
) -> RewardOutput:
    """``reward`` of the completions, with their numbers of tokens if these are known.

    Rewards are float32 at every precision of the trainer, which sets PyTorch's default dtype to that of the weights.

    Raises:
        RewardError: If the reward raises, or returns something else than one number for each completion; names its
            class, and the completion that it raises for.
    """
    name = f"the reward {name_of(reward)}"
    inputs = completions, questions, num_tokens
    try:
        with _reported_if_slow(reward, questions):
            output = _called(reward, *inputs)
    except RewardError as error:
        if error.reason != UNNAMED:
            raise
        culprit = "" if " of prompt " in str(error) else _culprit(reward, *inputs, RewardError)
        msg = f"{name} returned {error}{culprit}"
        raise RewardError(msg, reason="reward") from error
    except (RemotError, MemoryError, torch.OutOfMemoryError):
        raise
    except BaseException as error:  # also GeneratorExit, and what a library derives from BaseException
        is_signal = isinstance(error, SystemExit) and type(error) is not SystemExit
        if is_signal or isinstance(error, KeyboardInterrupt):  # which end the run while the reward computes
            raise
        if isinstance(error, SystemExit):
            msg = f"{name} called sys.exit({error.code}), expected a RewardOutput"
        else:
            culprit = _culprit(reward, *inputs, type(error)) if isinstance(error, Exception) else ""
            msg = f"{name} raised {type(error).__name__}: {_where(error)}{culprit}"
        raise RewardError(msg, reason="reward") from error
    if (came := _came(output)) != len(completions):
        expected = "a RewardOutput" if isinstance(came, str) else "one number for each"
        culprit = _culprit(reward, *inputs, None)
        msg = f"{name} returned {came} for {len(completions)} completions, expected {expected}{culprit}"
        raise RewardError(msg, reason="reward")
    return output


def _came(output: object) -> int | str:
    """How many numbers a reward returned, or of which type what it returned is."""
    return len(output.total) if isinstance(output, RewardOutput) else f"a {type(output).__name__}"


#: The rewards that are being computed, each within the one before it.
_RUNNING: list[str] = []


@contextmanager
def _reported_if_slow(reward: Reward, questions: Sequence[Question]) -> Iterator[None]:
    """Log a warning with the innermost reward that computes after :data:`REPORT_SECONDS`."""
    timer = None
    if not _RUNNING:
        prompts = ", ".join(list(dict.fromkeys(question.prompt_id for question in questions))[:MAX_NAMED_PROMPTS])
        timer = threading.Timer(REPORT_SECONDS, _report_slow, [prompts])
        timer.daemon = True
        timer.start()
    _RUNNING.append(name_of(reward))
    try:
        yield
    finally:
        _RUNNING.pop()
        if timer is not None:
            timer.cancel()


def _report_slow(prompts: str) -> None:
    if _RUNNING:
        what = "the reward %s has computed for %g s, for prompts %s; isolate: true bounds its time"
        _LOG.warning(what, _RUNNING[-1], REPORT_SECONDS, prompts)


def _called(
    reward: Reward, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
) -> RewardOutput:
    process = os.getpid()
    try:
        with _own_globals(reward, questions):
            if num_tokens is None:
                return reward(list(completions), list(questions))  # copies: what it changes in them is its own
            return reward.rate(list(completions), list(questions), list(num_tokens))
    finally:
        if os.getpid() != process:  # forked by the reward: two processes would train in one folder
            _LOG.warning("the reward %s forked a process that did not end within it; it is ended", name_of(reward))
            os._exit(FORKED)


def _where(error: BaseException) -> str:
    """What was raised, and the line that raised it."""
    text = printable(" ".join(text_of(error).split()))[:MAX_REASON_CHARS]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({PurePath(frames[-1].filename).name}:{frames[-1].lineno})" if frames else text


def _culprit(
    reward: Reward,
    completions: Sequence[str],
    questions: Sequence[Question],
    num_tokens: Sequence[int] | None,
    kind: type[Exception] | None,
) -> str:
    """The first completion that the reward fails alike for when it scores it alone; "" if there is none.

    ``kind`` is what it raises; None if it returns something else than one number.
    """
    for row, (text, question) in enumerate(zip(completions, questions, strict=True)):
        try:
            output = _called(reward, [text], [question], None if num_tokens is None else [num_tokens[row]])
            fails = kind is None and _came(output) != 1
        except Exception as error:  # noqa: BLE001 (it is scored alone, which a reward need not allow)
            fails = kind is not None and isinstance(error, kind)
        if fails:
            shown = printable(text)[:MAX_SHOWN_CHARS]
            return f", for completion {row} of prompt {question.prompt_id}: {shown!r}"
    return ""


def name_of(reward: Reward) -> str:
    """Where its class is defined."""
    return f"{type(reward).__module__}.{type(reward).__qualname__}"


def as_column(name: str, values: Sequence[object]) -> Tensor:
    """[B] float32 of plain numbers.

    Raises:
        RewardError: Naming the first value that is none.
    """
    for row, value in enumerate(values):
        if not isinstance(value, int | float):
            msg = f"{name} {value!r:.40} of type {type(value).__name__} for completion {row}, expected a number"
            raise RewardError(msg, reason=UNNAMED)
    return torch.tensor(values, dtype=torch.float32)


def require_applicable(reward: Reward, totals: Tensor) -> None:
    """Refuse a step that no completion has a reward in.

    Args:
        reward: What completions were scored with.
        totals: Of any shape, NaN for "not applicable".

    Raises:
        RewardError: If all are NaN.
    """
    if totals.numel() and bool(totals.isnan().all()):
        msg = (
            f"the reward {name_of(reward)} returned NaN, not applicable, for all {totals.numel()} completions of a step"
        )
        raise RewardError(msg, reason="reward")
