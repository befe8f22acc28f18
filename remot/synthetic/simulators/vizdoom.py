"""Game clips with exact camera poses, recorded from ViZDoom on a free map set. Needs the extra ``sim``.

Doom's world is right-handed with x east, y north and z up, its heading counter-clockwise from east, its pixels 1.2
times taller than wide, its nominal field of view 90 degrees at 4:3. Looking up and down is a shear there, not a
rotation, so these clips only turn to the sides. Lengths are metres at a nominal 32 map units each.
"""

import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from remot.data.annotations.native.writer import write_clip
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
CAMERA_VARIABLES = ("CAMERA_POSITION_X", "CAMERA_POSITION_Y", "CAMERA_POSITION_Z", "CAMERA_ANGLE")
PLAYER_VARIABLES = ("POSITION_X", "POSITION_Y", "POSITION_Z", "ANGLE")
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


def record_command(out: Path, num_clips: int = 8, seed: int = 0) -> None:
    """Record clips of a player who turns to the sides, rests, and turns back.

    Raises:
        ConfigError: If the simulator is not installed.
    """
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for index in range(num_clips):
        clip, frames = record_clip(seed, index, MAPS[index % len(MAPS)])
        fps = TICS_PER_SECOND / TICS_PER_FRAME
        write_clip(clip, frames, out, fps=fps, source=SOURCE, licence=LICENCE, crf=CRF)


def record_clip(seed: int, index: int, game_map: str) -> tuple[Clip, NDArray[np.uint8]]:
    """One clip of turning to the sides.

    Returns:
        The clip, whose media does not exist yet, and its images [N, H, W, 3].
    """
    generator = numpy_generator(seed, "vizdoom", game_map, index)
    offsets = level_profile(generator, NUM_FRAMES, -MAX_TURN_DEGREES, MAX_TURN_DEGREES, LEVEL_GAP_DEGREES)
    with running_game(game_map, derive_seed(seed, "vizdoom", index) % 2**31) as game:
        walk(game, generator)
        face_something(game)
        views = _turn(game, offsets)
    name = f"doom-{seed}-{index}"
    clip = Clip(
        clip_id=name,
        scene_id=f"doom-{game_map.lower()}",
        domain="game",
        media=Path(f"{name}.mp4"),
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
def running_game(game_map: str, seed: int, *, annotated: bool = False) -> Iterator[Any]:
    """A running game without window; it writes its own files to a folder that is thrown away.

    Args:
        game_map: Name of the map.
        seed: Of the engine's own random choices.
        annotated: Let the engine report what is visible where, let monsters notice the player, name the player's place
            and heading after the camera's, and take shooting as a third action.

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
    variables = CAMERA_VARIABLES + (PLAYER_VARIABLES if annotated else ())
    game.set_available_game_variables([getattr(vizdoom.GameVariable, name) for name in variables])
    buttons = [vizdoom.Button.MOVE_FORWARD_BACKWARD_DELTA, vizdoom.Button.TURN_LEFT_RIGHT_DELTA]
    game.set_available_buttons([*buttons, vizdoom.Button.ATTACK] if annotated else buttons)
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
        turned = (start - game.get_state().game_variables[3] + 180) % 360 - 180
        game.make_action([0, float(offset - turned)], 1)
        game.make_action([0, 0], TICS_PER_FRAME - 1)
        state = game.get_state()
        x, y, z, heading = (float(value) for value in state.game_variables)
        views.append(RecordedFrame(brightened(state.screen_buffer), pose(np.array([x, y, z]), heading), int(state.tic)))
    return views


def brightened(screen: NDArray[np.uint8], width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """The screen, smaller and brighter."""
    small = np.asarray(Image.fromarray(screen).resize((width, height), Image.Resampling.BOX))
    return np.asarray(255 * (small / 255) ** BRIGHTENING + 0.5).astype(np.uint8)
