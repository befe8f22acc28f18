"""Settings of a run that Lightning would take, and complain of late or without a name."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from remot.commands.configs import OPTIONS
from remot.commands.parsing.config_files import read_config_file
from remot.commands.parsing.errors import NEAREST
from remot.data.clips.bundled import EMBEDDED, clips_root
from remot.data.remote import is_url
from remot.errors import CheckpointError, ConfigError
from remot.files import expanded, require_records
from remot.files import require_folder as require_annotations

#: What a mapping of ``trainer.max_time`` may hold, as ``datetime.timedelta`` takes it.
TIMES = ("weeks", "days", "hours", "minutes", "seconds")
_SQLITE, _SQLITE_MAGIC = "sqlite:///", b"SQLite format 3\0"

#: Where runs keep checkpoints and exported policies, below the trainer's root folder.
RUNS_FOLDER = "runs"
#: Settings that name what a run reads, and where it writes.
SOURCES = ("root", "data.records", "data.reader", "data.reader.class_path", "trainer.default_root_dir")


def require_sources(args: Sequence[str]) -> None:
    """Refuse, before torch is imported, clips or prompts that are not there, and a run that writes among its clips.

    Args:
        args: Words of a training command, with the paths of its configuration files.

    Raises:
        AnnotationError: If there is no such folder of clips.
        ConfigError: If there are no such prompts, or the native reader would take the files of runs for clips.
    """
    given = dict(_sources_given(args))
    given = {key: value for key, value in given.items() if isinstance(value, str) and value != "null"}
    if "data.records" in given:
        require_records(expanded(given["data.records"]))
        return
    if "root" not in given or given["root"] in EMBEDDED or is_url(given["root"]):
        return
    root = clips_root(given["root"])
    require_annotations(root)
    reader = given.get("data.reader", given.get("data.reader.class_path", "NativeReader"))
    runs = Path(given.get("trainer.default_root_dir", ".")) / RUNS_FOLDER
    if reader.endswith("NativeReader") and runs.resolve().is_relative_to(root.resolve()):
        msg = (
            f"--root {root}: the run would write to {runs}, among the clips, where its files pass for annotations; "
            "start from another folder"
        )
        raise ConfigError(msg)


def require_checkpoint(wanted: str | Path) -> Path:
    """The file of a checkpoint.

    Raises:
        CheckpointError: If there is none.
    """
    if not os.path.isfile(wanted):  # noqa: PTH113 - Path raises if the text is too long for a name
        advice = "give a .ckpt file of a run's folder; fit, validate, test and predict take `last` for the newest run's"
        msg = f"the checkpoint {wanted!s:.200} does not exist; {advice}"
        raise CheckpointError(msg)
    return Path(wanted)


def _sources_given(args: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Names and values of SOURCES in configuration files and options, later ones last."""
    for word, following in zip(args, [*args[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        value = value if equals else following
        if option.removeprefix("--") in SOURCES:
            yield option.removeprefix("--"), value
        elif option in OPTIONS and os.path.isfile(value):  # noqa: PTH113 - Path raises if the text is too long for a name
            content = read_config_file(Path(value))
            for key in SOURCES:
                *sections, name = key.split(".")
                held = reduce(lambda above, section: _mapping(above.get(section)), sections, content)
                if name in held:
                    yield key, held[name]


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def require_time(max_time: object) -> None:
    """Refuse a ``trainer.max_time`` that is no duration; Lightning's type lets any text and any mapping through.

    Raises:
        ConfigError: With the nearest name of a mapping's.
    """
    parts = max_time if isinstance(max_time, Mapping) else {}
    for name in parts:
        if name not in TIMES:
            near = difflib.get_close_matches(str(name), TIMES, n=1)
            msg = f"trainer.max_time has no {name!r} {NEAREST} {near[0] if near else ', '.join(TIMES)})"
            raise ConfigError(msg)
    if isinstance(max_time, str) and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", max_time, re.ASCII):
        msg = f"trainer.max_time is {max_time!r:.80}, give DD:HH:MM:SS, or a mapping of {', '.join(TIMES)} to numbers"
        raise ConfigError(msg)


def require_intervals(trainer: Mapping[str, Any]) -> None:
    """Refuse intervals that Lightning takes and divides by, or compares with, later.

    Raises:
        ConfigError: Naming the key.
    """
    for key, least in (("check_val_every_n_epoch", 1), ("log_every_n_steps", 0)):
        value = trainer.get(key)
        if value is not None and value < least:
            msg = f"trainer.{key} is {value}, give a number from {least}"
            raise ConfigError(msg)


def require_folder(path: Path) -> None:
    """Refuse, before hours of training, a folder that could not be made.

    Raises:
        ConfigError: Naming the file that is in the way.
    """
    try:
        str(path.absolute()).encode("utf-8")
    except UnicodeEncodeError as error:  # not in the encoding of the system, or not in UTF-8, which libraries need
        named = ascii(str(path.absolute()))
        msg = f"trainer.default_root_dir: {named} is no path in UTF-8; rename it, or set LC_ALL to a UTF-8 locale"
        raise ConfigError(msg) from error
    existing = next(part for part in (path, *path.absolute().parents) if part.exists())
    if not existing.is_dir():
        msg = f"trainer.default_root_dir: {existing} is a file, choose a folder to keep runs in"
        raise ConfigError(msg)


def require_store(tracking_uri: str | None, experiment: str | None) -> None:
    """Refuse, before a model is loaded, an SQLite file that MLflow could not write to, and an experiment with no name.

    Raises:
        ConfigError: Naming the file or the key.
    """
    if experiment is not None and not experiment.strip():
        msg = "trainer.logger: experiment_name is empty, give the experiment a name"
        raise ConfigError(msg)
    path = Path((tracking_uri or "").removeprefix(_SQLITE).partition("?")[0])
    if not (tracking_uri or "").startswith(_SQLITE) or not path.exists():
        return
    begins = b""
    if not path.is_dir():
        with path.open("rb") as file:
            begins = file.read(len(_SQLITE_MAGIC))
    if path.is_dir() or begins not in (b"", _SQLITE_MAGIC):  # SQLite takes an empty file
        msg = f"trainer.logger: {path} of tracking_uri is no SQLite file, choose another, such as sqlite:///mlflow.db"
        raise ConfigError(msg)


def require_seed(seed: bool | int) -> None:  # noqa: FBT001 (Lightning's type for this key)
    """Refuse a seed that random generators do not take.

    Raises:
        ConfigError: With their range.
    """
    least, most = 0, 2**32 - 1  # the range of NumPy's
    if not least <= seed <= most:
        msg = f"seed_everything is {seed}, choose a number from {least} to {most}"
        raise ConfigError(msg)
