"""``remot record vizdoom``, ``remot record aloha`` and ``remot record miniworld``."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from remot.errors import ConfigError

if TYPE_CHECKING:
    from remot.synthetic.simulators.common import Recording


def vizdoom_command(out: Path, num_clips: int = 8, seed: int = 0, motion: Literal["walk", "turn"] = "walk") -> None:
    """Record clips of a game: camera, player, and things with boxes, depths and masks.

    Args:
        out: Folder to write to, created if missing.
        num_clips: Number of clips, the maps taking turns.
        seed: Of all choices; the same seed gives the same clips.
        motion: A player who walks, turns and stands among monsters, or one who only turns, with the camera alone
            annotated, as in the clips that come with the library.
    """
    from remot.synthetic.simulators.doom_walk import record_walk
    from remot.synthetic.simulators.vizdoom import LICENCE, SOURCE, record_command

    _require_some(num_clips)
    if motion == "turn":
        record_command(out, num_clips, seed)
    else:
        _record(record_walk, out, num_clips, seed, (SOURCE, LICENCE))


def aloha_command(out: Path, num_clips: int = 8, seed: int = 0) -> None:
    """Record clips of two robot arms: grippers, their openings, and a cube with boxes, depths and masks.

    Args:
        out: Folder to write to, created if missing.
        num_clips: Number of clips; arms that move about and a cube that is picked up take turns.
        seed: Of all choices; the same seed gives the same clips.
    """
    from remot.synthetic.simulators.aloha import LICENCE, SOURCE, record_arms

    _require_some(num_clips)
    _record(record_arms, out, num_clips, seed, (SOURCE, LICENCE))


def miniworld_command(out: Path, num_clips: int = 8, seed: int = 0) -> None:
    """Record clips of a walk through rooms: camera, agent, layout, and things with boxes, depths and masks.

    Args:
        out: Folder to write to, created if missing.
        num_clips: Number of clips, each of a room of its own.
        seed: Of all choices; the same seed gives the same clips.
    """
    from remot.synthetic.simulators.miniworld import LICENCE, SOURCE, record_room

    _require_some(num_clips)
    _record(record_room, out, num_clips, seed, (SOURCE, LICENCE))


#: Names of the simulators on the command line.
RECORD_COMMANDS = {"vizdoom": vizdoom_command, "aloha": aloha_command, "miniworld": miniworld_command}


def _require_some(num_clips: int) -> None:
    if num_clips < 1:
        msg = f"num_clips is {num_clips}, record at least one clip"
        raise ConfigError(msg)


def _record(
    record: "Callable[[int, int], Recording]", out: Path, num_clips: int, seed: int, rights: tuple[str, str]
) -> None:
    from remot.synthetic.simulators.common import write_recordings

    recordings = (record(seed, index) for index in range(num_clips))
    written = write_recordings(recordings, out.resolve(), source=rights[0], licence=rights[1])
    for number, _ in enumerate(written, start=1):
        sys.stderr.write(f"\rrecorded {number} of {num_clips} clips")
    sys.stderr.write("\n")
