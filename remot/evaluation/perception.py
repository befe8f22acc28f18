"""Asking again with frames where the first answer says that it is seen (iterative perception, VideoChat-R1.5)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from remot.errors import ConfigError
from remot.evaluation.scores import JudgedCompletion
from remot.rewards.functional.intervals import merged
from remot.rewards.parsing.spans import stretches_in
from remot.structures import PromptBatch, Question, ResampleRequest

#: From the name of a prompt and the requested frames to that prompt with other frames, a batch of one; None if it keeps
#: its own. A data module offers it, so that evaluation need not know clips.
Resampler = Callable[[str, ResampleRequest], PromptBatch | None]
#: From prompts and the names of their noise to one judged answer each.
AskOnce = Callable[[PromptBatch, tuple[str, ...]], Sequence[JudgedCompletion]]


@dataclass(frozen=True)
class IterativePerception:
    """How often held-out questions about times are asked, each time with other frames (arXiv 2509.21100).

    The stretches of time in an answer become the densely sampled times of the next perception, which shows as many
    frames. The last answer is scored. Two perceptions and at most three stretches are published; the rest is a
    reconstruction.

    Args:
        num_perceptions: How often a clip is shown, the first time included.
        dense_share: Share of the frames that lie in the stretches, as far as these have so many.
        max_stretches: An answer that lists more of them is not followed.
        tell_times: State the times of the frames when asking again. Qwen2.5-VL knows one spacing for a whole
            video, so that it would take frames at uneven times for evenly spaced ones.
    """

    num_perceptions: int = 2
    dense_share: float = 0.75
    max_stretches: int = 3
    tell_times: bool = True

    def __post_init__(self) -> None:
        if self.num_perceptions < 1 or self.max_stretches < 1 or not 0 < self.dense_share <= 1:
            msg = f"perception: num_perceptions and max_stretches are 1 at least, dense_share in (0, 1]; got {self}"
            raise ConfigError(msg)

    def request(self, completion: str, key_times: str) -> ResampleRequest | None:
        """The frames an answer asks for; None if it asks for none.

        Args:
            completion: The answer; hostile.
            key_times: The element to read, as :func:`stretches_in` does.
        """
        stretches = stretches_in(completion, key_times, self.max_stretches)
        if not stretches:
            return None
        return ResampleRequest(tuple(merged(stretches)), self.dense_share, self.tell_times)


@dataclass(frozen=True, eq=False)
class ResampledAnswers:
    """What came of asking again.

    Args:
        judged: The last answer of each of P x G completions, with what is known of the first.
        shown: The prompt, a batch of one, that a completion was shown last, by the completion's number; completions
            that saw the first frames only are left out.
    """

    judged: list[JudgedCompletion]
    shown: Mapping[int, PromptBatch]


def resample_frames(
    first: Sequence[JudgedCompletion],
    questions: Sequence[Question],
    perception: IterativePerception,
    resample: Resampler,
    ask: AskOnce,
) -> ResampledAnswers:
    """Ask those completions again whose first answer names stretches of time.

    Args:
        first: P x G judged completions, those of one prompt one after another.
        questions: The P questions.
        perception: How often, and with which frames.
        resample: Shows a prompt again.
        ask: Answers prompts, each once.
    """
    group = len(first) // max(1, len(questions))
    elements = [str(getattr(question, "key_times", "")) for question in questions for _ in range(group)]
    open_rows = [row for row, element in enumerate(elements) if element]
    judged = list(first)
    for row in open_rows:
        one = first[row]
        judged[row] = replace(one, first_completion=one.completion, first_total=one.total, first_success=one.success)
    shown: dict[int, PromptBatch] = {}
    for number in range(2, perception.num_perceptions + 1):
        requests = {row: perception.request(judged[row].completion, elements[row]) for row in open_rows}
        again = {row: resample(judged[row].prompt_id, one) for row, one in requests.items() if one is not None}
        prompts = {row: prompt for row, prompt in again.items() if prompt is not None}
        open_rows = list(prompts)
        for start in range(0, len(open_rows), len(questions)):  # no more at once than in the first perception
            rows = open_rows[start : start + len(questions)]
            names = tuple(f"{judged[row].prompt_id}/perception {number}/{row % group}" for row in rows)
            answers = ask(PromptBatch.joined([prompts[row] for row in rows]), names)
            for row, answer in zip(rows, answers, strict=True):
                judged[row] = _as_last(answer, judged[row], number)
        shown |= prompts
    return ResampledAnswers(judged, shown)


def _as_last(one: JudgedCompletion, before: JudgedCompletion, num_perceptions: int) -> JudgedCompletion:
    """An answer that takes the place of the one before."""
    return replace(
        one,
        num_perceptions=num_perceptions,
        first_completion=before.first_completion,
        first_total=before.first_total,
        first_success=before.first_success,
    )
