"""``remot sweep``."""

import re
from collections.abc import Sequence
from pathlib import Path

from remot.commands.sweep.file import Sweep, find_sweep, read_sweep
from remot.errors import ConfigError
from remot.terminal import write_err, write_out


def sweep_command(
    file: str,
    jobs: int = 1,
    dry_run: bool = False,  # noqa: FBT001, FBT002 (a switch)
    set: list[str] | None = None,  # noqa: A002 (the name of the option)
    seeds: list[int] | None = None,
    png: Path | None = None,
    csv: Path | None = None,
    html: Path | None = None,
) -> None:
    """Run a grid of settings and seeds, and compare the runs; the same command continues a sweep that was stopped.

    Args:
        file: A sweep file, or the name of a packaged one, such as strategies.
        jobs: Runs side by side, each with its share of the cores.
        dry_run: List the runs and what has become of them, and start none.
        set: Settings of all runs on top of the file's, as KEY=VALUE.
        seeds: Seeds instead of the file's.
        png: Where to save the plot of the comparison.
        csv: Where to save a line for each run.
        html: Where to save the comparison as one page.

    Raises:
        ConfigError: If the file or a setting is wrong, or runs have failed; the others are finished first.
    """
    if jobs < 1:
        msg = f"--jobs {jobs}: run at least 1 at a time"
        raise ConfigError(msg)
    more = list(set or ())
    for one in more:
        if not re.match(r"[A-Za-z_][\w.]*=", one):
            msg = f"--set {one:.80}: write KEY=VALUE, such as --set trainer.max_steps=30"
            raise ConfigError(msg)
    sweep = read_sweep(find_sweep(file))
    if seeds:
        sweep = Sweep(sweep.name, sweep.configs, sweep.settings, sweep.cells, tuple(dict.fromkeys(seeds)))
    _run(sweep, more, jobs, {"png": png, "csv": csv, "html": html}, dry_run=dry_run)


def _run(sweep: Sweep, more: Sequence[str], jobs: int, files: dict[str, Path | None], *, dry_run: bool) -> None:
    """Check all members, run those that are not finished, compare all that are."""
    from remot.commands.sweep.members import FINISHED, RUNNING, members_of, progress_of
    from remot.commands.sweep.runner import Runner

    members = members_of(sweep, more)
    work = [(member, progress_of(member)) for member in members]
    left = [(member, progress) for member, progress in work if progress.state not in (FINISHED, RUNNING)]
    if dry_run:
        for member, progress in work:
            where = "" if progress.folder is None else f" ({progress.folder})"
            write_out(f"{member.name}: {progress.state}{where}\n")
        write_out(f"{len(members)} runs of sweep {sweep.name}, {len(left)} to do\n")
        return
    for member, progress in work:
        if progress.state == RUNNING:
            _tell(f"left alone, another process is running it: {member.name} ({progress.folder})")
    runner = Runner(jobs, members[0].runs.parent / "sweeps" / sweep.name, _tell)
    runner.run(left, len(members) - len(left))
    _compare(sweep, [folder for member in members if (folder := progress_of(member).folder) is not None], files)
    if runner.failures:
        named = "; ".join(f"{one.member.name}: {one.reason} ({one.log})" for one in runner.failures)
        msg = f"{len(runner.failures)} of {len(members)} runs failed: {named}"
        raise ConfigError(msg)


def _tell(line: str) -> None:
    write_err(f"{line}\n")


def _compare(sweep: Sweep, folders: Sequence[Path], files: dict[str, Path | None]) -> None:
    """Print the comparison of the sweep's runs, and write the files that were asked for."""
    from remot.tracking.command import save, show
    from remot.tracking.compare import table_of
    from remot.tracking.folders import read_folder_or_store
    from remot.tracking.significance import significance

    runs = [read_folder_or_store(folder) for folder in folders]
    if not runs:
        return
    table = table_of(sweep.name, runs)
    tests = significance(table)
    show(table, tests)
    save(table, tests, **files)
