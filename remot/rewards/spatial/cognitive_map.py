"""Does the map of the room that the model drew agree with the room?"""

from collections.abc import Sequence

import torch

from remot.answers import MAX_COMPLETION_CHARS
from remot.rewards.base import Reward, WrapperReward, scored_by
from remot.rewards.functional.maps import map_score
from remot.rewards.parsing.graphs import name_of, read_map
from remot.structures import Question, Reference, RewardOutput, reference_of


class CognitiveMapReward(WrapperReward):
    """Accuracy, plus the score of the map for a right answer with a map; a bad map destroys a right answer.

    r is the accuracy. If the completion holds both literal strings ``<map>`` and ``</map>`` and r > ``gate``: r + s
    with s the map score if s > 0, else 0. Otherwise r. (SpaceR, arXiv 2504.01805; its gate is r = 1 for letters and
    r > 0.5 for numbers, both of which r > 0.5 says.) Maps are read as by SpaceR, see
    :func:`remot.rewards.parsing.graphs.read_map`.

    Args:
        reward: The accuracy, such as :class:`remot.rewards.ExactAnswerReward`.
        gate: What the accuracy has to exceed.
        grid_size: Side of the map in cells.
        name: Metric key.
    """

    def __init__(self, reward: Reward, gate: float = 0.5, grid_size: float = 10, name: str = "map_accuracy") -> None:
        self.reward = reward
        self.gate = gate
        self.grid_size = grid_size
        self.name = name

    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """Parts: this reward's total in [0, 2], ``map`` (NaN where no map counts) and those of the accuracy."""
        accuracy = scored_by(self.reward, completions, questions, num_tokens)
        rows = zip(completions, questions, (accuracy.total > self.gate).tolist(), strict=True)
        scores = [self._map_score(text, reference_of(question), is_open) for text, question, is_open in rows]
        maps = torch.tensor(scores, dtype=torch.float32)
        gated = torch.where(maps > 0, accuracy.total + maps, 0.0)
        total = torch.where(maps.isnan(), accuracy.total, gated)
        return RewardOutput(
            total, {**accuracy.parts, "map": maps, self.name: total}, accuracy.success, judged=accuracy.judged
        )

    def _map_score(self, completion: str, reference: Reference, is_open: bool) -> float:  # noqa: FBT001
        """NaN where the map does not count."""
        completion = completion[:MAX_COMPLETION_CHARS]
        if reference.map_centres is None or not is_open:
            return float("nan")
        if "<map>" not in completion or "</map>" not in completion:
            return float("nan")
        gold = {name_of(name): points for name, points in reference.map_centres.items()}
        return map_score(read_map(completion, gold) or {}, gold, self.grid_size)
