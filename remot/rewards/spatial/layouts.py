"""Rewards of the map of a room and of the graph of its objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from remot.answers import MAX_COMPLETION_CHARS
from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward, Reward, WrapperReward, scored_by
from remot.rewards.functional.layouts import edge_score, edges_of, map_score, node_score
from remot.rewards.parsing.graphs import name_of, read_graphs, read_map
from remot.rewards.parsing.tags import first_element
from remot.structures import Question, Reference, RewardOutput, reference_of


@dataclass(eq=False)
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

    reward: Reward
    gate: float = 0.5
    grid_size: float = 10
    name: str = "map_accuracy"

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


@dataclass(eq=False)
class SceneGraphReward(ReferenceReward):
    """``node_weight`` · R_n + ``edge_weight`` · R_e, each the mean over the selected frames.

    R_graph of Video-STR (arXiv 2510.10976), graphs written in the reasoning. What is published: a node term by the
    distance of centres, weighted by the number of objects; an edge term by distances and angles that does not change if
    everything is turned. Formulas, weights and the way of writing are not: reconstruction, see
    :mod:`remot.rewards.functional.layouts` and :func:`remot.rewards.parsing.graphs.read_graphs`. The k-th ``<graph>``
    element belongs to the k-th frame; a missing one counts 0.

    Args:
        node_weight: Weight of the node term.
        edge_weight: Weight of the edge term.
        extent: Side of the square that distances of centres are a share of.
        angle_weight: Share of the angles in the edge term.
        edges: Take the distances and angles that are ``written``, or those that are ``derived`` from written centres.
        name: Metric key.
    """

    extra_parts = ("nodes", "edges")
    success_at = None

    node_weight: float = 1.0
    edge_weight: float = 1.0
    extent: float = 10.0
    angle_weight: float = 0.5
    edges: Literal["written", "derived"] = "written"
    name: str = "graph"

    def __post_init__(self) -> None:
        if self.extent <= 0 or not 0 <= self.angle_weight <= 1 or self.edges not in {"written", "derived"}:
            given = f"{self.extent}, {self.angle_weight}, {self.edges!r}"
            msg = f"a scene graph needs extent > 0, angle_weight in [0, 1], edges written or derived; got {given}"
            raise ConfigError(msg)

    def score(self, completion: str, reference: Reference) -> Mapping[str, float] | None:
        """Parts ``graph``, ``nodes`` and ``edges``; not applicable without graphs."""
        if not reference.graphs:
            return None
        written = read_graphs(first_element(completion, "think") or "", len(reference.graphs))
        node_scores, edge_scores = [], []
        for graph, right in zip(written, reference.graphs, strict=False):
            if graph is None:
                continue
            gold = {name_of(name): point for name, point in right.items()}
            known = {name: point for name, point in graph.nodes.items() if name in gold}
            found = graph.edges if self.edges == "written" else edges_of(known)
            node_scores.append(node_score(graph.nodes, gold, self.extent))
            edge_scores.append(edge_score(found, edges_of(gold), self.angle_weight))
        nodes, edges = (sum(scores) / len(reference.graphs) for scores in (node_scores, edge_scores))
        return {self.name: self.node_weight * nodes + self.edge_weight * edges, "nodes": nodes, "edges": edges}
