import json

import numpy as np
import pytest

from remot.data.tasks.geometry.maps import cognitive_map, graph_text, map_text, rounded_nodes
from remot.data.tasks.rooms.scene import Scene
from remot.rewards.functional.layouts import edge_score, edges_of, map_score, node_score
from remot.rewards.parsing.graphs import read_graphs, read_map
from tests.data.tasks.rooms import box, pose, random_box, room
from tests.helpers import assert_close

#: A room of 10 x 10 m, so that a cell is a metre: a chair in the south-west corner, two lamps in the north.
ROOM = [
    box("chair", (0.5, 0.5, 0)),
    box("lamp", (9.5, 9.5, 0)),
    box("lamp", (2.5, 9.5, 0)),
]


def heading_of(camera_to_world):
    """Where the first shown frame of a room looks."""
    return Scene(room(ROOM, [camera_to_world]), (0,), 0.2).heading


def test_cells_by_hand():
    assert cognitive_map(ROOM) == {"chair": ((0, 0),), "lamp": ((2, 9), (9, 9))}


@pytest.mark.parametrize(
    ("yaw_degrees", "chair"),
    [(90, (0, 0)), (0, (9, 0)), (180, (0, 9)), (270, (9, 9))],  # looking east, south lies to the right
)
def test_rows_follow_the_first_view(yaw_degrees, chair):
    """The chair is in the south-west: near left looking north, near right looking east, far left looking west."""
    assert cognitive_map(ROOM, heading_of(pose((5, 5, 1), yaw_degrees)))["chair"] == (chair,)


def test_a_long_room_stays_in_the_middle():
    """20 m by 2 m: one scale for both sides, so all rows are the middle ones."""
    cells = cognitive_map([box("a", (0.5, 0.5, 0)), box("b", (19.5, 1.5, 0))])
    assert cells == {"a": ((0, 4),), "b": ((9, 5),)}


def test_a_camera_that_looks_down_has_no_heading():
    assert heading_of(pose((0, 0, 3), 40, -89)) is None
    assert_close(heading_of(pose((0, 0, 3), 90, -60)), [0, 1])


def test_the_written_map_is_read_as_it_was_meant():
    rng = np.random.default_rng(0)
    for _ in range(50):
        boxes = [random_box(rng, name) for name in rng.choice(["chair", "trash bin", "lamp"], 6)]
        heading = rng.normal(size=2)
        cells = cognitive_map(boxes, heading / np.linalg.norm(heading))
        assert sum(map(len, cells.values())) == 6
        assert all(0 <= number <= 9 for points in cells.values() for point in points for number in point)
        assert read_map(map_text(cells)) == {name: list(points) for name, points in cells.items()}
        assert map_score(read_map(map_text(cells)), cells) == 1


def test_a_mirrored_map_is_a_worse_one():
    cells = {"a": ((0.0, 1.0),), "b": ((9.0, 7.0),)}
    mirrored = {name: tuple((9 - x, y) for x, y in points) for name, points in cells.items()}
    assert map_score(read_map(map_text(mirrored)), cells) < 0.5


def test_graph_by_hand():
    """From a to b 3 to the right and 4 away: 5 long, 53.13 degrees counter-clockwise from the right."""
    content = json.loads(graph_text({"a": (1, 1), "b": (4, 5)}).removeprefix("<graph>").removesuffix("</graph>"))
    assert content == {"nodes": {"a": [1, 1], "b": [4, 5]}, "edges": [["a", "b", 5.0, 53.13]]}


def test_the_written_graph_is_the_right_one_even_if_turned():
    """Both terms are 1 for what is written; if the scene is turned only the edges stay right."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        nodes = rounded_nodes({f"car {k}": tuple(rng.normal(size=2) * 8) for k in range(4)})
        angle = rng.uniform(1, 5)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = rounded_nodes({name: tuple(turn @ point) for name, point in nodes.items()})
        written, elsewhere = read_graphs(graph_text(nodes), 1)[0], read_graphs(graph_text(turned), 1)[0]
        assert node_score(written.nodes, nodes) == 1
        assert edge_score(written.edges, edges_of(nodes)) > 0.99
        assert edge_score(elsewhere.edges, edges_of(nodes)) > 0.99
        assert node_score(elsewhere.nodes, nodes) < 0.99


def test_a_name_cannot_end_its_element():
    cells, nodes = {"a</map>": ((1.0, 2.0),)}, {"b</graph>": (1.0, 2.0)}
    assert read_map(map_text(cells)) == {"a</map>": [(1, 2)]}
    assert read_graphs(graph_text(nodes), 1)[0].nodes == nodes
