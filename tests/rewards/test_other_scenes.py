"""Maps, graphs and motion worked out in the complex plane, from the text to the total."""

import ast
import cmath
import json
import math
import re
from collections import defaultdict

import numpy as np

import remot.rewards as r
from remot.structures import BoxTrack, Reference
from tests.rewards.other_ways import NUM, assert_agree, inside, rng_of, written

# -- graphs ------------------------------------------------------------------------------------------------------------

THINGS = ("car 1", "car 2", "dog", "tree", "van")


def random_graph(rng):
    names = rng.choice(THINGS, rng.integers(1, 6), replace=False)
    return {
        str(name): (float(x), float(y))
        for name, (x, y) in zip(names, rng.integers(-9, 10, (len(names), 2)), strict=True)
    }


def greedy_nodes(told, gold, extent):
    """Node term by repeated search for the closest pair of one kind."""
    kinds = defaultdict(lambda: ([], []))
    for side, nodes in enumerate((told, gold)):
        for name, at in nodes.items():
            kinds[name.split()[0]][side].append(complex(*at))
    total = 0.0
    for first, second in kinds.values():
        left, right = list(first), list(second)
        near = 0.0
        while left and right:
            one, other = min(((a, b) for a in left for b in right), key=lambda pair: abs(pair[0] - pair[1]))
            near += max(0.0, 1 - abs(one - other) / (extent * 2**0.5))
            left.remove(one)
            right.remove(other)
        total += len(second) * near / max(len(first), len(second))
    return total / len(gold)


def edges_in_the_plane(told, gold, share):
    """Edge term of derived edges: sums over pairs, angles as the length of a mean of turns."""
    pairs = [(a, b) for k, a in enumerate(sorted(gold)) for b in sorted(gold)[k + 1 :]]
    if not pairs:
        return 1.0
    alike, turns = [], []
    for a, b in pairs:
        if a in told and b in told:
            way, right = (complex(*nodes[b]) - complex(*nodes[a]) for nodes in (told, gold))
            longer = max(abs(way), abs(right))
            alike.append(1.0 - abs(abs(way) - abs(right)) / longer if longer else 1.0)
            unit = cmath.rect(1, cmath.phase(way)) / cmath.rect(1, cmath.phase(right))
            turns.append(unit)
    if len(pairs) == 1:
        return math.fsum(alike)
    return ((1 - share) * math.fsum(alike) + share * abs(sum(turns))) / len(pairs)


def test_scene_graphs():
    """Two frames; written graphs near the right ones, broken ones or none at all."""

    def cases():
        rng = rng_of("graphs")
        for _ in range(NUM):
            graphs = tuple(random_graph(rng) for _ in range(2))
            drawn = []
            for graph in graphs[: rng.integers(3)]:
                near = {name: [x + int(rng.integers(-1, 2)), y] for name, (x, y) in graph.items() if rng.random() < 0.9}
                more = random_graph(rng) if rng.random() < 0.2 else {}
                nodes = {**{name: list(at) for name, at in more.items()}, **near}
                drawn.append(f"<graph>{written(rng, json.dumps({'nodes': nodes}), ['[]', '{', '{}'], 0.9)}</graph>")
            yield f"<think>{''.join(drawn)}</think><answer>B</answer>", Reference(graphs=graphs)

    def expected(text, reference):
        total = 0.0
        for content, gold in zip(re.findall("<graph>(.*?)</graph>", text), reference.graphs, strict=False):
            try:
                nodes = json.loads(content)["nodes"]
            except (ValueError, KeyError, TypeError):
                continue
            total += 0.7 * greedy_nodes(nodes, gold, 10) + 0.4 * edges_in_the_plane(nodes, gold, 0.3)
        return total / len(reference.graphs)

    assert_agree(r.SceneGraphReward(0.7, 0.4, angle_weight=0.3, edges="derived"), cases(), expected)


def test_cognitive_map_gate():
    """r, r + s, or 0, by the literal tags and the accuracy; s of one thing of each kind is a mean of distances."""

    def cases():
        rng = rng_of("maps")
        for _ in range(NUM):
            gold = {
                name: ((float(x), float(y)),) for name, (x, y) in zip("abc", rng.integers(0, 10, (3, 2)), strict=True)
            }
            told = {name: [[int(v) for v in rng.integers(0, 10, 2)]] for name in "abcd" if rng.random() < 0.6}
            writing = (
                json.dumps,
                str,
                lambda told: str({name: [tuple(one) for one in of] for name, of in told.items()}),
            )
            drawn = writing[rng.integers(3)](told)
            drawn = written(rng, f"<map>{drawn}</map>", ["", "<map>", "<map>{</map>", "</map><map>"], 0.7)
            yield (
                f"<think>{drawn}</think><answer>{rng.choice(['A', 'B'])}</answer>",
                Reference(answer="B", map_centres=gold),
            )

    def expected(text, reference):
        right = float(inside("answer", text) == "B")
        if not right or "<map>" not in text or "</map>" not in text:
            return right
        try:
            told = ast.literal_eval(inside("map", text) or "")
        except SyntaxError:
            return 0.0
        score = 0.0
        for name, ((x, y),) in reference.map_centres.items():
            if name in told:
                score += max(0.0, 1 - abs(complex(*told[name][0]) - complex(x, y)) / abs(complex(10, 10)))
        return 1 + score / 3 if score > 0 else 0.0

    assert_agree(r.CognitiveMapReward(r.ExactAnswerReward("exact")), cases(), expected)


# -- motion ------------------------------------------------------------------------------------------------------------

COMPASS = ["E", "SE", "S", "SW", "W", "NW", "N", "NE"]  # clockwise on the screen, where y grows downwards
SPEEDS, SCALES = ["stationary", "slow", "moderate", "fast"], ["receding", "stable", "approaching"]


def tag_of(rng, name):
    direction = rng.choice([*COMPASS, "STAT", "north"])
    return f'<motion obj="{name}" dir="{direction}" speed="{rng.choice(SPEEDS)}" scale="{rng.choice(SCALES)}"/>'


def motion_in_the_plane(first, last, seconds):
    (a, b), (c, d) = ((complex(box[0], box[1]), complex(box[2], box[3])) for box in (first, last))
    way, diagonal = (c + d) / 2 - (a + b) / 2, (abs(b - a) + abs(d - c)) / 2
    direction = "STAT"
    if abs(way) >= max(0.02 * diagonal, 3):
        units = [cmath.rect(1, k * math.pi / 4) for k in range(8)]
        direction = COMPASS[max(range(8), key=lambda k: (way.conjugate() * units[k]).real)]
    pace = abs(way) / diagonal / seconds
    speed = "stationary" if pace < 0.02 else "slow" if pace < 0.1 else "moderate" if pace < 0.3 else "fast"
    ratio = ((d - c).real * (d - c).imag) / ((b - a).real * (b - a).imag)
    scale = "approaching" if ratio > math.exp(0.15) else "receding" if ratio < math.exp(-0.15) else "stable"
    return direction, speed, scale


def near_words(told, gold, order, is_ring):
    if told == gold:
        return float(gold in order)
    if told not in order or gold not in order:
        return 0.0
    steps = abs(order.index(told) - order.index(gold))
    return 0.5 * (min(steps, len(order) - steps) == 1 if is_ring else steps == 1)


def track_of(rng, name):
    times = np.cumsum(rng.uniform(0.5, 3, 4))
    (left, top), step, grow = rng.uniform(0, 100, 2), rng.normal(0, 12, 2), rng.choice([1.0, 1.0, 1.1, 0.9])
    boxes = []
    for k in range(4):
        x, y = float(left + k * step[0]), float(top + k * step[1])
        boxes.append((x, y, x + 30 * float(grow) ** k, y + 40 * float(grow) ** k))
    return BoxTrack(name, tuple(map(float, times)), tuple(boxes))


def frames_seen(text, track):
    """Annotated frames that sightings of a track are near to, in order."""
    found = []
    for name, at in re.findall(r"<obj>(.*?)</obj><box>\[0, 0, 1, 1\]</box>at<t>(.*?)</t>s", text):
        gap, frame = min((abs(time - float(at)), k) for k, time in enumerate(track.pts_seconds))
        found += [frame] if track.name == name.lower().replace("-", " ") and gap < 2 else []
    return sorted(found)


def worth_of_tag(words, track, first, last):
    gold = motion_in_the_plane(
        track.boxes[first], track.boxes[last], track.pts_seconds[last] - track.pts_seconds[first]
    )
    told = re.findall('"(.*?)"', words)
    kinds = zip((0.4, 0.3, 0.3), told, gold, (COMPASS, SPEEDS, SCALES), (True, False, False), strict=True)
    return 0.4 * (told[0] == gold[0] == "STAT") + sum(weight * near_words(*one) for weight, *one in kinds)


def test_motion_trajectories():
    def cases():
        rng = rng_of("trajectories")
        for _ in range(NUM):
            tracks = tuple(track_of(rng, name) for name in ("red car", "dog"))
            said = ""
            for name in rng.choice(["red car", "Red-Car", "dog", "cat"], rng.integers(5)):
                said += f"<obj>{name}</obj><box>[0, 0, 1, 1]</box>at<t>{rng.uniform(0, 14):.2f}</t>s "
            tags = "".join(tag_of(rng, name) for name in ("red car", "dog") if rng.random() < 0.8)
            yield f"<think>{said}{tags}</think><answer>B</answer>", Reference(tracks=tracks)

    def expected(text, reference):
        tags = dict(re.findall(r'<motion obj="(.*?)" (.*?)/>', text))
        seen = [(track, frames_seen(text, track)) for track in reference.tracks]
        scores = [
            worth_of_tag(tags.get(track.name, '"" "" ""'), track, frames[0], frames[-1])
            for track, frames in seen
            if len(set(frames)) > 1
        ]
        if scores:
            return sum(scores) / len(scores)
        return 0.1 if sum(len(frames) for _, frames in seen) >= 2 else 0.0

    assert_agree(r.MotionTrajectoryReward(), cases(), expected)


def test_motion_perturbation():
    def cases():
        rng = rng_of("perturbation")
        for _ in range(NUM):
            both = ["".join(tag_of(rng, name) for name in "abc" if rng.random() < 0.7) for _ in range(2)]
            both[1] = both[0] if rng.random() < 0.1 else both[1]
            told, frozen = (f"<think>{tags}</think><answer>B</answer>" for tags in both)
            yield told, Reference(counterfactuals=(frozen, told))

    def expected(text, reference):
        told, frozen = (
            dict(re.findall(r'<motion obj="(.)" (.*?)/>', one)) for one in (text, reference.counterfactuals[0])
        )
        worth = 0.0
        for name, words in told.items():
            if name not in frozen:
                worth += 1
                continue
            pairs = zip(re.findall('"(.*?)"', words), re.findall('"(.*?)"', frozen[name]), strict=True)
            worth += sum(weight for weight, (one, other) in zip((0.5, 0.3, 0.2), pairs, strict=True) if one != other)
        return worth / len(told) if told else 0.0

    assert_agree(r.MotionPerturbationReward(), cases(), expected)
