"""``remot record``: clips of games and simulators, and of rooms papered with photographs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from remot.commands.data.audit_table import ProgressBars
from remot.errors import ConfigError
from remot.terminal import write_out

if TYPE_CHECKING:
    from remot.synthetic.simulators.common import Recording


def vizdoom_command(
    out: Path,
    num_clips: int = 8,
    seed: int = 0,
    motion: Literal["walk", "turn", "roam"] = "walk",
    maps: list[str] | None = None,
    small: bool = False,  # noqa: FBT001, FBT002 (a switch of the command line)
) -> None:
    """Record clips of a game: camera, player, and things with boxes, depths and masks.

    Args:
        out: Folder to write to, created if missing.
        num_clips: Number of clips, the maps taking turns.
        seed: Of all choices; the same seed gives the same clips.
        motion: A player who walks, turns and stands among monsters; one who only turns, with the camera alone
            annotated, as in the clips that come with the library; or one who turns, goes and sidesteps at the same
            time (``roam``), as a hand-held camera does, with the camera alone annotated.
        maps: Maps that take turns, such as MAP03; four by default.
        small: Write 30 images of 128 x 96 without masks, as the clips of remot-bench. For a player who walks.
    """
    from remot.synthetic.simulators.doom_walk import record_walk
    from remot.synthetic.simulators.vizdoom import LICENCE, MAPS, SOURCE, record_command, require_maps

    _require_some(num_clips)
    chosen = tuple(maps or MAPS)
    require_maps(chosen)
    if motion == "walk":
        record = partial(record_walk, maps=chosen)
        _record(record, out, num_clips, seed, (SOURCE, LICENCE), small=small)
        return
    with ProgressBars() as bars:
        show = partial(bars.show, "recording clips", total=num_clips)
        record_command(out, num_clips, seed, chosen, roams=motion == "roam", progress=show)
    write_out(_written(out, num_clips))


def aloha_command(
    out: Path,
    num_clips: int = 8,
    seed: int = 0,
    small: bool = False,  # noqa: FBT001, FBT002 (a switch of the command line)
) -> None:
    """Record clips of two robot arms: grippers, their openings, and a cube with boxes, depths and masks.

    Args:
        out: Folder to write to, created if missing.
        num_clips: Number of clips; arms that move about and a cube that is picked up take turns.
        seed: Of all choices; the same seed gives the same clips.
        small: Write 30 images of 128 x 96 without masks, as the clips of remot-bench.
    """
    from remot.synthetic.simulators.aloha import LICENCE, SOURCE, record_arms

    _require_some(num_clips)
    _record(record_arms, out, num_clips, seed, (SOURCE, LICENCE), small=small)


def miniworld_command(
    out: Path,
    num_clips: int = 8,
    seed: int = 0,
    small: bool = False,  # noqa: FBT001, FBT002 (a switch of the command line)
) -> None:
    """Record clips of a walk through rooms: camera, agent, layout, and things with boxes, depths and masks.

    Args:
        out: Folder to write to, created if missing.
        num_clips: Number of clips, each of a room of its own.
        seed: Of all choices; the same seed gives the same clips.
        small: Write 30 images of 128 x 96 without masks, as the clips of remot-bench.
    """
    from remot.synthetic.simulators.miniworld import LICENCE, SOURCE, record_room

    _require_some(num_clips)
    _record(record_room, out, num_clips, seed, (SOURCE, LICENCE), small=small)


def photos_command(
    out: Path, photos: Path, num_clips: int = 8, seed: int = 0, motion: Literal["look", "walk"] = "look"
) -> None:
    """Record clips of a camera in rooms papered with your photographs; only the camera is annotated.

    Six photographs make a room, and clips of a room are one scene. Train and test on other photographs.

    Args:
        out: Folder to write to, created if missing.
        photos: Folder of photographs.
        num_clips: Number of clips, the rooms taking turns.
        seed: Of all choices; the same seed gives the same clips, and the same photographs in a room for both motions.
        motion: A camera that turns, and goes about in a share of the clips (``look``), or one that goes on through the
            room all the time, whether it turns or not (``walk``).
    """
    from remot.synthetic.simulators.photo_rooms import LICENCE, SOURCE, photos_in, record_photo_room

    _require_some(num_clips)
    record = partial(record_photo_room, photos_in(photos), walks=motion == "walk")
    _record(record, out, num_clips, seed, (SOURCE, LICENCE), small=False)


#: Names on the command line.
RECORD_COMMANDS = {
    "vizdoom": vizdoom_command,
    "aloha": aloha_command,
    "miniworld": miniworld_command,
    "photos": photos_command,
}


def _require_some(num_clips: int) -> None:
    if num_clips < 1:
        msg = f"num_clips is {num_clips}, record at least one clip"
        raise ConfigError(msg)


def _record(
    record: "Callable[[int, int], Recording]",
    out: Path,
    num_clips: int,
    seed: int,
    rights: tuple[str, str],
    *,
    small: bool,
) -> None:
    from remot.synthetic.simulators.common import SMALL_CRF, reduced, write_recordings

    recordings = (record(seed, index) for index in range(num_clips))
    crf = {"crf": SMALL_CRF} if small else {}
    chosen = map(reduced, recordings) if small else recordings
    written = write_recordings(chosen, out.resolve(), source=rights[0], licence=rights[1], **crf)
    with ProgressBars() as bars:
        for number, _ in enumerate(written, start=1):
            bars.show("recording clips", number, num_clips)
    write_out(_written(out, num_clips))


def _written(out: Path, num_clips: int) -> str:
    return f"{num_clips} clips written to {out}; check them with: remot data validate {out}\n"
