"""Game clips with exact camera poses, recorded from ViZDoom on a free map set. Needs the extra ``sim``.

Doom's world is right-handed with x east, y north and z up, its heading counter-clockwise from east, its pixels 1.2
times taller than wide, its nominal field of view 90 degrees at 4:3. Looking up and down is a shear there, not a
rotation, so these clips only turn to the sides. Lengths are metres at a nominal 32 map units each.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from remot.data.annotations.native.writer import write_clip
from remot.errors import ConfigError
from remot.seeding import derive_seed, numpy_generator
from remot.structures import CameraTrack, Clip, FloatArray
from remot.synthetic.rendering.profile import level_profile
from remot.synthetic.simulators.common import required

SOURCE, LICENCE = "ViZDoom (MIT) with Freedoom phase 2 maps and textures", "BSD-3-Clause"
TICS_PER_SECOND, TICS_PER_FRAME = 35, 4
UNITS_PER_METRE = 32.0
WIDTH, HEIGHT = 128, 96
PIXEL_ASPECT = 1.2
#: The game ignores its player for the first tics of a level.
START_TIC = 15
NUM_FRAMES = 24
#: The heading keeps within this distance of where the clip starts.
MAX_TURN_DEGREES = 26.0
LEVEL_GAP_DEGREES = 15.0
MAX_WALK_FRAMES = 30
NUM_HEADINGS = 12
#: How far a player who roams goes from where the clip starts, and the least between two places, in metres.
MAX_WAY_METRES, WAY_GAP_METRES = 1.2, 0.6
#: Fastest step in map units a tic, and the engine's units of thrust for a speed of one.
MAX_STEP_UNITS, THRUST = 6.0, 32.0
#: Shares of the roaming clips in which the player turns, goes ahead or back, and sidesteps.
ROAMING_SHARES = (0.8, 0.7, 0.6)
CAMERA_VARIABLES = ("CAMERA_POSITION_X", "CAMERA_POSITION_Y", "CAMERA_POSITION_Z", "CAMERA_ANGLE")
PLAYER_VARIABLES = ("POSITION_X", "POSITION_Y", "POSITION_Z", "ANGLE")
SPEED_VARIABLES = ("VELOCITY_X", "VELOCITY_Y")
MAPS = ("MAP01", "MAP02", "MAP07", "MAP11")
CRF = 30
#: Exponent that lifts the dark images of the game.
BRIGHTENING = 0.6


@dataclass(frozen=True)
class RecordedFrame:
    """One recorded frame."""

    image: NDArray[np.uint8]
    camera_to_world: FloatArray
    tic: int


def record_command(
    out: Path,
    num_clips: int = 8,
    seed: int = 0,
    maps: Sequence[str] = MAPS,
    *,
    roams: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Record clips of a player who turns to the sides, rests, and turns back.

    Args:
        out: Folder to write to, created if missing.
        num_clips: Number of clips, the maps taking turns.
        seed: Of all choices.
        maps: Names of maps.
        roams: Let the player also go ahead, back and to the sides, at the same time.
        progress: Called with the number of clips written so far.

    Raises:
        ConfigError: If the simulator is not installed.
    """
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for index in range(num_clips):
        clip, frames = record_clip(seed, index, maps[index % len(maps)], roams=roams)
        fps = TICS_PER_SECOND / TICS_PER_FRAME
        write_clip(clip, frames, out, fps=fps, source=SOURCE, licence=LICENCE, crf=CRF)
        progress(index + 1)


def require_maps(maps: Sequence[str]) -> None:
    """Check names of maps.

    Raises:
        ConfigError: If one is not a map of the free map set.
    """
    for name in maps:
        if not re.fullmatch(r"MAP(?:0[1-9]|[12][0-9]|3[0-2])", name):
            msg = f"--maps {name!r:.60}: give names from MAP01 to MAP32, such as --maps MAP01 --maps MAP03"
            raise ConfigError(msg)


def record_clip(seed: int, index: int, game_map: str, *, roams: bool = False) -> tuple[Clip, NDArray[np.uint8]]:
    """One clip of turning to the sides, or of turning and going about at once.

    Returns:
        The clip, whose media does not exist yet, and its images [N, H, W, 3].
    """
    kind, name = ("vizdoom-roam", "doom-roam") if roams else ("vizdoom", "doom")
    generator = numpy_generator(seed, kind, game_map, index)
    offsets = level_profile(generator, NUM_FRAMES, -MAX_TURN_DEGREES, MAX_TURN_DEGREES, LEVEL_GAP_DEGREES)
    with running_game(game_map, derive_seed(seed, kind, index) % 2**31, sidesteps=roams) as game:
        walk(game, generator)
        face_something(game)
        views = _roam(game, offsets, generator) if roams else _turn(game, offsets)
    clip = Clip(
        clip_id=f"{name}-{seed}-{index}",
        scene_id=f"doom-{game_map.lower()}",
        domain="game",
        media=Path(f"{name}-{seed}-{index}.mp4"),
        pts_seconds=np.array([view.tic - views[0].tic for view in views]) / TICS_PER_SECOND,
        camera=CameraTrack(np.stack([view.camera_to_world for view in views]), intrinsics()),
    )
    return clip, np.stack([view.image for view in views])


def intrinsics(width: int = WIDTH, height: int = HEIGHT) -> FloatArray:
    """Pinhole matrix [3, 3] of 4:3 images."""
    focal = width / 2  # 90 degrees across a 4:3 image
    return np.array([[focal, 0, width / 2], [0, PIXEL_ASPECT * focal, height / 2], [0, 0, 1]])


def pose(position: FloatArray, heading_degrees: float) -> FloatArray:
    """Camera-to-world transform [4, 4], OpenCV axes, of a level camera in Doom's world (x east, y north, z up).

    Args:
        position: [3] map units.
        heading_degrees: Counter-clockwise from east.
    """
    heading = np.deg2rad(heading_degrees)
    transform = np.eye(4)
    transform[:3, 0] = np.sin(heading), -np.cos(heading), 0
    transform[:3, 1] = 0, 0, -1
    transform[:3, 2] = np.cos(heading), np.sin(heading), 0
    transform[:3, 3] = position / UNITS_PER_METRE
    return transform


@contextmanager
def running_game(game_map: str, seed: int, *, annotated: bool = False, sidesteps: bool = False) -> Iterator[Any]:
    """A running game without window; it writes its own files to a folder that is thrown away.

    Args:
        game_map: Name of the map.
        seed: Of the engine's own random choices.
        annotated: Let the engine report what is visible where, let monsters notice the player, name the player's place
            and heading after the camera's, and take shooting as a third action.
        sidesteps: Name the player's place, heading and speed after the camera's, and take steps to the right as a third
            action.

    Raises:
        ConfigError: If the simulator is not installed.
    """
    with required("recording game clips", 'pip install "remot[sim]"'):
        import vizdoom
    game = vizdoom.DoomGame()
    game.set_doom_game_path(str(Path(vizdoom.__file__).parent / "freedoom2.wad"))
    game.set_doom_map(game_map)
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_640X480)
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_depth_buffer_enabled(True)
    for name in ("hud", "weapon", "crosshair", "messages", "screen_flashes", "decals", "particles"):
        getattr(game, f"set_render_{name}")(False)  # noqa: FBT003
    game.set_labels_buffer_enabled(annotated)
    variables = CAMERA_VARIABLES + (PLAYER_VARIABLES if annotated or sidesteps else ())
    variables += SPEED_VARIABLES if sidesteps else ()
    game.set_available_game_variables([getattr(vizdoom.GameVariable, name) for name in variables])
    buttons = [vizdoom.Button.MOVE_FORWARD_BACKWARD_DELTA, vizdoom.Button.TURN_LEFT_RIGHT_DELTA]
    buttons += [vizdoom.Button.ATTACK] if annotated else []
    buttons += [vizdoom.Button.MOVE_LEFT_RIGHT_DELTA] if sidesteps else []
    game.set_available_buttons(buttons)
    game.set_window_visible(False)
    game.set_seed(seed)
    game.set_episode_start_time(START_TIC)
    game.set_episode_timeout(10**6)
    game.add_game_args("+sv_cheats 1")
    with tempfile.TemporaryDirectory() as scratch, chdir(scratch):
        game.init()
        try:
            game.send_game_command("god")
            if not annotated:
                game.send_game_command("notarget")
            yield game
        finally:
            game.close()


def walk(game: Any, generator: np.random.Generator) -> None:  # noqa: ANN401
    """Walk some way from the start of the map, so that clips of one map differ."""
    game.make_action([0, float(generator.uniform(-90, 90))], TICS_PER_FRAME)
    game.make_action([10, 0], TICS_PER_FRAME * int(generator.integers(0, MAX_WALK_FRAMES)))
    game.make_action([0, 0], TICS_PER_SECOND)


def face_something(game: Any) -> None:  # noqa: ANN401
    """Look all around and face where the image varies most and reaches far, so that no clip stares at a wall."""
    scores = []
    for _ in range(NUM_HEADINGS):
        game.make_action([0, 360 / NUM_HEADINGS], 1)
        state = game.get_state()
        scores.append(float(state.screen_buffer.std()) * float(state.depth_buffer.mean()))
    game.make_action([0, 360 / NUM_HEADINGS * (int(np.argmax(scores)) + 1)], 1)


def _turn(game: Any, offsets_degrees: FloatArray) -> list[RecordedFrame]:  # noqa: ANN401
    """Record while turning to each offset (to the right positive) from the first heading."""
    views, start = [], game.get_state().game_variables[3]
    for offset in offsets_degrees:
        game.make_action([0, _turn_left(game, start, offset)], 1)
        game.make_action([0, 0], TICS_PER_FRAME - 1)
        views.append(_recorded_frame(game))
    return views


def _turn_left(game: Any, start_degrees: float, offset_degrees: float) -> float:  # noqa: ANN401
    """The turn to the right that is left until the heading is ``offset_degrees`` to the right of the first one."""
    turned = (start_degrees - game.get_state().game_variables[3] + 180) % 360 - 180
    return float(offset_degrees - turned)


def _roam(game: Any, offsets_degrees: FloatArray, generator: np.random.Generator) -> list[RecordedFrame]:  # noqa: ANN401
    """Record while turning to each offset and going to places around the first one, each at its own times.

    What a wall or the player's inertia does to a step is in the recorded poses.
    """
    turns, *goes = generator.random(3) < ROAMING_SHARES
    ways = np.stack(
        [
            level_profile(generator, NUM_FRAMES, -MAX_WAY_METRES, MAX_WAY_METRES, WAY_GAP_METRES) * is_used
            for is_used in goes
        ],
        axis=1,
    )  # [N, 2] metres ahead and to the right of the first place, as seen at the first heading
    first = game.get_state().game_variables
    places = first[4:6] + ways * UNITS_PER_METRE @ _axes(first[3])
    views = []
    for offset, place in zip(offsets_degrees * turns, places, strict=True):
        for tic in range(TICS_PER_FRAME):
            state = game.get_state().game_variables
            step = np.clip((place - state[4:6]) / 3, -MAX_STEP_UNITS, MAX_STEP_UNITS)
            ahead, right = THRUST * _axes(state[3]) @ (step - state[8:10])
            game.make_action([float(ahead), 0.0 if tic else _turn_left(game, first[3], offset), float(right)], 1)
        views.append(_recorded_frame(game))
    return views


def _axes(heading_degrees: float) -> FloatArray:
    """[2, 2] unit vectors ahead and to the right, in rows, of a player's heading."""
    heading = np.deg2rad(heading_degrees)
    return np.array([[np.cos(heading), np.sin(heading)], [np.sin(heading), -np.cos(heading)]])


def _recorded_frame(game: Any) -> RecordedFrame:  # noqa: ANN401
    state = game.get_state()
    x, y, z, heading = (float(value) for value in state.game_variables[:4])
    return RecordedFrame(brightened(state.screen_buffer), pose(np.array([x, y, z]), heading), int(state.tic))


def brightened(screen: NDArray[np.uint8], width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """The screen, smaller and brighter."""
    small = np.asarray(Image.fromarray(screen).resize((width, height), Image.Resampling.BOX))
    return np.asarray(255 * (small / 255) ** BRIGHTENING + 0.5).astype(np.uint8)
