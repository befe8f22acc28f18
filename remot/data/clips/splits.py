"""Training, validation and test clips that share no scene."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from remot.errors import ConfigError, EmptySplitError
from remot.seeding import numpy_generator


class InScene(Protocol):
    """A clip, or what is known of it."""

    @property
    def scene_id(self) -> str:
        """Its scene."""

    @property
    def domain(self) -> str:
        """Its domain."""


_Clip = TypeVar("_Clip", bound=InScene)

#: Scenes that a stratum needs to be divided by itself.
MIN_SCENES = 3


@dataclass(frozen=True)
class Splits(Generic[_Clip]):
    """Clips of each split, in the order they were given."""

    train: tuple[_Clip, ...]
    val: tuple[_Clip, ...]
    test: tuple[_Clip, ...]


def split_by_scene(
    clips: Sequence[_Clip],
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    stratum_of: Callable[[_Clip], Hashable] = attrgetter("domain"),
    *,
    required: bool = True,
) -> Splits[_Clip]:
    """Divide the scenes of each stratum in the same proportions.

    A stratum of three scenes or more gives every wanted split at least one; smaller ones are divided together. A scene
    belongs to the stratum of its first clip.

    Args:
        clips: All clips.
        val_fraction: Share of the scenes to validate on; 0 for none.
        test_fraction: Share of the scenes to test on; 0 for none.
        seed: Names the shuffle.
        stratum_of: What is to be represented alike in every split.
        required: Refuse to leave a wanted split empty. False allows it, where there are too few scenes.

    Raises:
        ConfigError: If the fractions leave nothing to train on.
        EmptySplitError: If a wanted split would hold no clip and is required.
    """
    fractions = {"val": val_fraction, "test": test_fraction, "train": 1 - val_fraction - test_fraction}
    if not (val_fraction >= 0 and test_fraction >= 0 and fractions["train"] > 0):  # nor NaN
        msg = (
            f"val_fraction={val_fraction}, test_fraction={test_fraction}; choose shares from 0 that sum to less than 1"
        )
        raise ConfigError(msg)
    split_of: dict[str, str] = {}
    for number, scenes in enumerate(_strata(clips, stratum_of)):
        shuffled = [scenes[k] for k in numpy_generator(seed, "splits", number).permutation(len(scenes))]
        smallest = 1 if len(scenes) >= MIN_SCENES else 0
        num_val, num_test = (
            max(smallest, round(fraction * len(scenes))) if fraction > 0 else 0
            for fraction in (val_fraction, test_fraction)
        )
        for place, scene in enumerate(shuffled):
            split_of[scene] = "val" if place < num_val else "test" if place < num_val + num_test else "train"
    parts = {name: tuple(clip for clip in clips if split_of[clip.scene_id] == name) for name in fractions}
    for name, fraction in fractions.items():
        if required and fraction > 0 and not parts[name]:
            msg = (
                f"the {name} split is empty: {len(clips)} clips of {len(split_of)} scenes, divided by val_fraction="
                f"{val_fraction} and test_fraction={test_fraction}; add scenes or change the fractions (0 for no split)"
            )
            raise EmptySplitError(msg)
    return Splits(**parts)


def _strata(clips: Sequence[_Clip], stratum_of: Callable[[_Clip], Hashable]) -> list[list[str]]:
    """The sorted scenes of each stratum, strata in the order in which they first occur, the small ones as one."""
    stratum_of_scene: dict[str, Hashable] = {}
    for clip in clips:
        if clip.scene_id not in stratum_of_scene:
            stratum_of_scene[clip.scene_id] = stratum_of(clip)
    strata: dict[Hashable, list[str]] = {}
    for scene, stratum in stratum_of_scene.items():
        strata.setdefault(stratum, []).append(scene)
    large = [sorted(scenes) for scenes in strata.values() if len(scenes) >= MIN_SCENES]
    small = sorted(scene for scenes in strata.values() if len(scenes) < MIN_SCENES for scene in scenes)
    return [*large, small] if small else large
