"""Seeded synthetic clips whose annotations are exact by construction; what ``remot data render`` runs."""

from pathlib import Path
from typing import Literal

from remot.errors import ConfigError


def render_command(
    out: Path,
    num_clips: int = 175,
    seed: int = 0,
    num_workers: int = 1,
    collection: Literal["triplets", "varied", "tasks", "bench"] = "triplets",
    kinds: list[Literal["happenings", "rooms", "floors", "returns"]] | None = None,
) -> None:
    """Render a collection of synthetic clips.

    Args:
        out: Folder to write to, created if missing.
        num_clips: Number of clips, the kinds taking turns.
        seed: Names the collection.
        num_workers: Processes to share the work, for triplets and varied; the clips do not depend on it.
        collection: Clips for triplets; the same with materials, lights, textures and main colours that vary, and a
            camera that goes about; for tasks, with events, tracks, layouts and camera paths; or for remot-bench.
        kinds: Of clips for tasks: happenings, in which things move, rooms and floors by default; returns show one red
            thing that moves and comes back.

    Raises:
        ConfigError: If no clip is asked for, the seed is negative, or kinds are those of another collection.
    """
    if num_clips < 1 or seed < 0:
        msg = f"num_clips is {num_clips} and seed is {seed}: render at least one clip, with a seed from 0"
        raise ConfigError(msg)
    if kinds is not None and (collection != "tasks" or not kinds):
        msg = f"kinds are {kinds} and collection is {collection}: give kinds of clips for tasks"
        raise ConfigError(msg)
    from rich.progress import Progress

    from remot.synthetic.rendering.clips import render_bench_clips, render_dataset, render_task_clips
    from remot.terminal import console, write_out

    with Progress(console=console(stderr=True)) as bar:
        task = bar.add_task("rendering clips", total=num_clips)
        if collection == "tasks":
            chosen = () if kinds is None else (kinds,)
            render_task_clips(out, num_clips, seed, lambda done: bar.update(task, completed=done), *chosen)
        elif collection == "bench":
            render_bench_clips(out, num_clips, seed, lambda done: bar.update(task, completed=done))
        else:
            render_dataset(
                out,
                num_clips,
                seed,
                is_varied=collection == "varied",
                num_workers=num_workers,
                progress=lambda done: bar.update(task, completed=done),
            )
    write_out(f"{num_clips} clips written to {out}; check them with: remot data validate {out}\n")
