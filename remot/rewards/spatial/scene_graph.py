"""Does the graph of objects in the reasoning agree with the scene?"""

from collections.abc import Mapping
from typing import Literal

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.graphs import edge_score, edges_of, mean_over_frames, node_score
from remot.rewards.parsing.graphs import WrittenGraph, name_of, read_graphs
from remot.rewards.parsing.tags import first_element
from remot.structures import Point, Reference


class SceneGraphReward(ReferenceReward):
    """``node_weight`` · R_n + ``edge_weight`` · R_e, each the mean over the selected frames.

    R_graph of Video-STR (arXiv 2510.10976), graphs written in the reasoning. What is published: a node term by the
    distance of centres, weighted by the number of objects; an edge term by distances and angles that does not change if
    everything is turned. Formulas, weights and the way of writing are not: reconstruction, see
    :mod:`remot.rewards.functional.graphs` and :func:`remot.rewards.parsing.graphs.read_graphs`. The k-th ``<graph>``
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

    def __init__(
        self,
        node_weight: float = 1.0,
        edge_weight: float = 1.0,
        extent: float = 10.0,
        angle_weight: float = 0.5,
        edges: Literal["written", "derived"] = "written",
        name: str = "graph",
    ) -> None:
        if extent <= 0 or not 0 <= angle_weight <= 1 or edges not in {"written", "derived"}:
            msg = f"a scene graph needs extent > 0, angle_weight in [0, 1], edges written or derived; got {extent}, "
            raise ConfigError(msg + f"{angle_weight}, {edges!r}")
        self.node_weight = node_weight
        self.edge_weight = edge_weight
        self.extent = extent
        self.angle_weight = angle_weight
        self.edges = edges
        self.name = name

    def score(self, completion: str, reference: Reference) -> Mapping[str, float] | None:
        """Parts ``graph``, ``nodes`` and ``edges``; not applicable without graphs."""
        if not reference.graphs:
            return None
        written = read_graphs(first_element(completion, "think") or "", len(reference.graphs))
        pairs = [
            self._terms(graph, {name_of(name): point for name, point in gold.items()})
            for graph, gold in zip(written, reference.graphs, strict=False)
            if graph is not None
        ]
        nodes, edges = (mean_over_frames([pair[term] for pair in pairs], len(reference.graphs)) for term in (0, 1))
        return {self.name: self.node_weight * nodes + self.edge_weight * edges, "nodes": nodes, "edges": edges}

    def _terms(self, graph: WrittenGraph, gold: Mapping[str, Point]) -> tuple[float, float]:
        known = {name: point for name, point in graph.nodes.items() if name in gold}
        edges = graph.edges if self.edges == "written" else edges_of(known)
        nodes = node_score(graph.nodes, gold, self.extent)
        return nodes, edge_score(edges, edges_of(gold), self.angle_weight)
