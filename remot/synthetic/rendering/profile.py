"""How the controlled quantity of a synthetic clip moves: between a few levels, resting on each, returning to some."""

import numpy as np

from remot.structures import FloatArray

#: Largest departure from a level while resting on it, as a share of the span.
JITTER = 0.002
MIN_DWELL_FRAMES = 2
#: (number of rests, frames between two rests).
PACES = ((5, 2), (6, 1))


def level_profile(
    generator: np.random.Generator, num_frames: int, low: float, high: float, min_gap: float
) -> FloatArray:
    """A path between three or four levels, at least one of which is visited twice.

    Args:
        generator: Source of every choice.
        num_frames: Length N of the path; at least 18.
        low: Smallest level allowed.
        high: Largest level allowed; two gaps must fit between them.
        min_gap: Smallest distance between two levels.

    Returns:
        [N] values in [low, high].
    """
    # increasing levels, the slack shared out at random above, below and between them
    most = int(np.floor((high - low) / min_gap + 1e-9)) + 1
    count = int(generator.integers(3, min(most, 4) + 1))
    slack = (high - low) - (count - 1) * min_gap
    shares = generator.dirichlet(np.ones(count + 1)) * slack
    levels = low + np.cumsum(shares[:-1]) + min_gap * np.arange(count)
    num_rests, num_between = PACES[int(generator.integers(len(PACES)))]
    # every level once in random order, then returns; never the same level twice in a row
    order = [int(level) for level in generator.permutation(count)]
    while len(order) < num_rests:
        order.append(int(generator.choice([level for level in range(count) if level != order[-1]])))
    num_resting = num_frames - (num_rests - 1) * num_between
    dwells = MIN_DWELL_FRAMES + generator.multinomial(
        num_resting - MIN_DWELL_FRAMES * num_rests, np.full(num_rests, 1 / num_rests)
    )
    path: list[float] = []
    for rest, level in enumerate(levels[order]):
        if rest:
            path.extend(np.linspace(path[-1], level, num_between + 2)[1:-1])
        path.extend([level] * int(dwells[rest]))
    jitter = generator.uniform(-JITTER, JITTER, num_frames) * (high - low)
    return np.clip(np.array(path) + jitter, low, high)


def wander(generator: np.random.Generator, num_frames: int, amplitude: float) -> FloatArray:
    """A slow drift for a quantity that is not meant to move: still in half of all cases.

    Returns:
        [N] offsets in [-amplitude, amplitude].
    """
    strength = amplitude * generator.uniform(0.3, 1.0) * float(generator.random() < 0.5)
    turns, phase = generator.uniform(0.3, 1.2), generator.uniform(0, 2 * np.pi)
    drift: FloatArray = strength * np.sin(phase + 2 * np.pi * turns * np.arange(num_frames) / num_frames)
    return drift
