"""FrameThinker's reward: a gate over the conversation, then accuracy and bonuses for looking."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from remot.rewards.base import Reward, as_column, check_lengths
from remot.rewards.parsing.requests import FrameLookUp, FrameRange, action_answer, action_in
from remot.rewards.parsing.tags import elements, first_element
from remot.structures import Question, RewardOutput, Turn, reference_of

#: Whole numbers that are no part of a clock time.
_NUMBER = re.compile(r"(?<![0-9A-Za-z_:])[0-9]{1,9}(?![0-9A-Za-z_:])")
_CLOCK = re.compile(r"[0-9]:[0-9]")
_FOUND_FRAME = re.compile(r"is: ?([0-9]{1,9})")


@dataclass(eq=False)
class FrameThinkerReward(Reward):
    """Accuracy and bonuses of conversations that pass the gate of FrameThinker; 0 for all others.

    The reward of ``lcqysl/FrameThinker-RL`` (``think_with_video_reward.py``, v11): accuracy is 1 if the answer equals
    the reference's. A right answer earns ``time_bonus`` if a time was looked up and the question holds a clock time,
    and ``range_bonus`` if a range was chosen. The gate, over the turns in order:

    - each response is one think and one action element, the last action an answer;
    - the last two numbers of the thought that chooses a range are that range;
    - a range is more than ``min_frames`` long, and neither it nor the one just within it nor the whole clip was
      chosen before; no time is looked up twice;
    - a range that follows a look-up contains its frame, and the answer does not follow a look-up directly.

    Whether a range is the whole clip, or outside of it, is the environment's to say: a refused turn fails the gate,
    which is ours. As released, so does a turn that is neither a range nor a look-up.

    Args:
        time_bonus: For a look-up that the question called for.
        range_bonus: For having chosen a range.
        min_frames: Last minus first frame of a range has to be above this.
        name: Metric key.
    """

    time_bonus: float = 0.5
    range_bonus: float = 0.02
    min_frames: int = 8
    name: str = "frame_thinker"

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Score a flat list of B last responses whose questions hold the turns before them in their references.

        Returns:
            Parts: the total, ``accuracy``, ``format`` (1 if the gate is passed) and ``looking`` (the bonuses).
        """
        check_lengths(completions, questions)
        rows = [self.score(text, question) for text, question in zip(completions, questions, strict=True)]
        names = (self.name, "accuracy", "format", "looking")
        parts = {name: as_column(f"part {name}", [row[column] for row in rows]) for column, name in enumerate(names)}
        accuracy = parts["accuracy"]
        return RewardOutput(parts[self.name], parts, success=accuracy >= 1, judged=~accuracy.isnan())

    def score(self, completion: str, question: Question) -> tuple[float, float, float, float]:
        """Total, accuracy, format and bonuses; NaN for a question without an answer."""
        reference = reference_of(question)
        if reference.answer is None:
            return (float("nan"),) * 4
        words = (first_element(completion, "answer") or action_answer(completion) or "").split()
        if not words or not _has_one(completion, "think") or not self.passes_gate(reference.turns):
            return (0.0,) * 4
        asked = [action_in(turn.response) for turn in reference.turns]
        accuracy, looking = float(words[0] == reference.answer), 0.0
        if accuracy:
            looked_up = [turn for one, turn in zip(asked, reference.turns, strict=True) if isinstance(one, FrameLookUp)]
            is_found = any((_frame_found(turn) or 0) > 0 for turn in looked_up)  # frame 0 earns nothing, as released
            looking += self.time_bonus * (is_found and _CLOCK.search(question.text) is not None)
            looking += self.range_bonus * any(isinstance(one, FrameRange) for one in asked)
        return accuracy + looking, accuracy, 1.0, looking

    def passes_gate(self, turns: Sequence[Turn]) -> bool:
        """Whether the turns before an answer keep the rules."""
        seen: set[tuple[int, ...]] = set()
        wanted: int | None = None  # frame that the last turn has looked up
        for turn in turns:
            action = action_in(turn.response)
            if turn.is_refused or not (_has_one(turn.response, "think") and _has_one(turn.response, "action")):
                return False
            if isinstance(action, FrameRange):
                chosen = (action.first, action.last)
                numbers = [int(one) for one in _NUMBER.findall(first_element(turn.response, "think") or "")]
                contains = wanted is None or action.first <= wanted <= action.last
                is_long = action.last - action.first > self.min_frames
                if chosen in seen or not contains or not is_long or tuple(numbers[-2:]) != chosen:
                    return False
                seen |= {chosen, (action.first + 1, action.last - 1)}
                wanted = None
            elif isinstance(action, FrameLookUp):
                wanted = _frame_found(turn)
                if (action.seconds,) in seen or wanted is None:
                    return False
                seen.add((action.seconds,))
            else:
                return False
        return wanted is None


def _has_one(response: str, tag: str) -> bool:
    return sum(1 for _ in elements(response, tag)) == 1


def _frame_found(turn: Turn) -> int | None:
    """The frame number of a reply to a look-up."""
    found = _FOUND_FRAME.search(turn.reply)
    return None if found is None else int(found[1])
