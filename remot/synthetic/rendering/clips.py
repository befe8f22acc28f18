"""Synthetic annotated clips by number, and folders full of them: for triplets, and for tasks."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.native.writer import write_clip
from remot.errors import ConfigError
from remot.seeding import numpy_generator
from remot.structures import Clip
from remot.synthetic.rendering import happenings, rooms
from remot.synthetic.rendering.camera import render_camera_scene
from remot.synthetic.rendering.effector import render_diagonal_scene, render_effector_scene, render_gripper_scene
from remot.synthetic.rendering.objects import render_object_scene
from remot.synthetic.rendering.scene import FPS, NUM_FRAMES, RenderedScene, named_clip
from remot.synthetic.rendering.varied import draw_palette, photographed, render_roaming_scene

Renderer = Callable[..., RenderedScene]

#: The kinds of clips, named after the attribute that each of them varies: domain and renderer.
KINDS: dict[str, tuple[str, Renderer]] = {
    "camera_yaw": ("camera", partial(render_camera_scene, is_pitch=False)),
    "camera_pitch": ("camera", partial(render_camera_scene, is_pitch=True)),
    "effector_horizontal": ("manipulation", partial(render_effector_scene, free_axis=0)),
    "effector_vertical": ("manipulation", partial(render_effector_scene, free_axis=1)),
    "gripper": ("manipulation", render_gripper_scene),
    "object_horizontal": ("objects", partial(render_object_scene, free_axis=0)),
    "object_vertical": ("objects", partial(render_object_scene, free_axis=1)),
}

#: The kinds of clips whose materials, light and images vary, with one seen from a camera that goes about.
VARIED_KINDS = KINDS | {"camera_roam": ("camera", render_roaming_scene)}

#: The kinds of clips of remot-bench.
BENCH_KINDS = KINDS | {"effector_composite": ("manipulation", render_diagonal_scene)}

SOURCE, LICENCE = "remot synthetic renderer", "Apache-2.0"
#: Quality of rendered videos: small files that still look clean at their small size.
CRF, BENCH_CRF = 26, 31


def render_clip(seed: int, index: int, kind: str) -> tuple[Clip, NDArray[np.uint8]]:
    """One synthetic clip; the same arguments always give the same clip.

    Returns:
        The clip, whose media does not exist yet, and its images [N, H, W, 3].

    Raises:
        ConfigError: If ``kind`` is unknown.
    """
    if kind not in BENCH_KINDS:
        msg = f"unknown kind of clip {kind!r}, choose one of {', '.join(BENCH_KINDS)}"
        raise ConfigError(msg)
    domain, renderer = BENCH_KINDS[kind]
    scene = renderer(numpy_generator(seed, "render", kind, index))
    name = f"synthetic-{seed}-{index}"
    tracks = {"camera": scene.camera, "effectors": scene.effectors, "objects": scene.objects}
    return named_clip(name, domain, np.arange(NUM_FRAMES) / FPS, **tracks), scene.frames


def render_varied_clip(seed: int, index: int) -> tuple[Clip, NDArray[np.uint8]]:
    """A clip of :data:`VARIED_KINDS`, each in turn; the same arguments always give the same clip."""
    kind = list(VARIED_KINDS)[index % len(VARIED_KINDS)]
    domain, renderer = VARIED_KINDS[kind]
    looks, generator = (numpy_generator(seed, stream, kind, index) for stream in ("looks", "varied"))
    scene = renderer(generator, draw_palette(looks))
    tracks = {"camera": scene.camera, "effectors": scene.effectors, "objects": scene.objects}
    clip = named_clip(f"varied-{seed}-{index}", domain, np.arange(NUM_FRAMES) / FPS, **tracks)
    return clip, photographed(scene.frames, looks)


def kind_of(index: int) -> str:
    """Kind of clip number ``index`` of a collection: each in turn."""
    return list(KINDS)[index % len(KINDS)]


def render_dataset(
    folder: Path,
    num_clips: int,
    seed: int,
    *,
    is_varied: bool = False,
    num_workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Render clips 0 to ``num_clips`` - 1 of a collection into ``folder``, plain ones or varied ones."""
    folder.mkdir(parents=True, exist_ok=True)
    task = partial(_render_to, folder, seed, is_varied)
    with ExitStack() as stack:
        files: Iterable[Path] = map(task, range(num_clips))
        if num_workers > 1:
            pool = stack.enter_context(ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")))
            files = pool.map(task, range(num_clips), chunksize=8)
        for number, _ in enumerate(files, start=1):
            if progress is not None:
                progress(number)


def _render_to(folder: Path, seed: int, is_varied: bool, index: int) -> Path:  # noqa: FBT001 - for `partial`
    clip, frames = render_varied_clip(seed, index) if is_varied else render_clip(seed, index, kind_of(index))
    return write_clip(clip, frames, folder, fps=FPS, source=SOURCE, licence=LICENCE, crf=CRF)


def render_bench_clips(
    folder: Path, num_clips: int, seed: int, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Render clips 0 to ``num_clips`` - 1 of remot-bench into ``folder``, each of :data:`BENCH_KINDS` in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = list(BENCH_KINDS)
    for index in range(num_clips):
        clip, frames = render_clip(seed, index, kinds[index % len(kinds)])
        name = f"rendered-{seed}-{index}"
        clip = replace(clip, clip_id=name, scene_id=name)
        write_clip(clip, frames, folder, fps=FPS, source=SOURCE, licence=LICENCE, crf=BENCH_CRF)
        progress(index + 1)


TaskRenderer = Callable[[np.random.Generator, str], tuple[Clip, NDArray[np.uint8]]]

#: The kinds of clips, with their images per second. A collection holds each in turn.
TASK_KINDS: dict[str, tuple[TaskRenderer, int]] = {
    "happenings": (happenings.render_happenings, happenings.FPS),
    "rooms": (rooms.render_room, rooms.FPS),
    "floors": (rooms.render_floor, rooms.FPS),
}
#: What ``--kinds`` takes besides.
MORE_TASK_KINDS = {"returns": (happenings.render_returns, happenings.FPS)}
TASK_CRF = 28


def render_task_clip(
    seed: int, index: int, kinds: Sequence[str] = tuple(TASK_KINDS)
) -> tuple[Clip, NDArray[np.uint8], int]:
    """One clip of a collection; the same arguments always give the same clip.

    Args:
        seed: Names the collection.
        index: Number of the clip.
        kinds: Of :data:`TASK_KINDS` and :data:`MORE_TASK_KINDS`, taking turns.

    Returns:
        The clip, whose media does not exist yet, its images [N, H, W, 3], and how many there are in a second.
    """
    kind = kinds[index % len(kinds)]
    renderer, fps = (TASK_KINDS | MORE_TASK_KINDS)[kind]
    return *renderer(numpy_generator(seed, "render", kind, index), f"{kind}-{seed}-{index}"), fps


def render_task_clips(
    folder: Path,
    num_clips: int,
    seed: int,
    progress: Callable[[int], None] = lambda _: None,
    kinds: Sequence[str] = tuple(TASK_KINDS),
) -> None:
    """Render clips 0 to ``num_clips`` - 1 of a collection into ``folder``, created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(num_clips):
        clip, frames, fps = render_task_clip(seed, index, kinds)
        write_clip(clip, frames, folder, fps=fps, source=SOURCE, licence=LICENCE, crf=TASK_CRF)
        progress(index + 1)
