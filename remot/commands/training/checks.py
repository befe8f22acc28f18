"""Settings of a run that Lightning would take, and complain of late or without a name."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
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
        fact = "is a folder" if os.path.isdir(wanted) else "does not exist"  # noqa: PTH112 - as above
        msg = f"the checkpoint {wanted!s:.200} {fact}; {advice}"
        raise CheckpointError(msg)
    return Path(wanted)


def _sources_given(args: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Names and values of SOURCES in configuration files and options, later ones last."""
    for word, following in zip(args, [*args[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        value = value if equals else following
        name = option.removeprefix("--")
        if name != option and name in SOURCES:  # `--resume.allow root` names a setting without the dashes
            yield name, value
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
        ConfigError: With the nearest name of a mapping's, or if it is negative, or longer than Python can name.
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
    if isinstance(max_time, str):
        parts = dict(zip(TIMES[1:], map(int, max_time.split(":")), strict=True))
    try:
        is_meant = timedelta(**parts) >= timedelta()
    except (OverflowError, ValueError, TypeError):
        is_meant = False
    if not is_meant:
        msg = f"trainer.max_time is {max_time!r:.80}, give a duration of at most {timedelta.max.days:,} days"
        raise ConfigError(msg)


#: Settings of the trainer with the least and the largest number that can be meant. Lightning starts as many processes
#: as ``devices`` says, and waits for those of all nodes.
RANGES: Mapping[str, tuple[int, int | None]] = {
    "check_val_every_n_epoch": (1, None),
    "log_every_n_steps": (0, None),
    "devices": (-1, 1024),
    "num_nodes": (1, 2**16),
}


def require_intervals(trainer: Mapping[str, Any]) -> None:
    """Refuse numbers that Lightning takes and divides by, compares with, or makes processes of, later.

    Raises:
        ConfigError: Naming the key.
    """
    for key, (least, largest) in RANGES.items():
        value = trainer.get(key)
        number = int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) else value
        if isinstance(number, int) and not least <= number <= (largest or number):
            msg = f"trainer.{key} is {value}, give a number from {least}" + (f" to {largest}" if largest else "")
            raise ConfigError(msg)


def experiment_folder(root: str | None, experiment: str) -> Path:
    """Where the runs of an experiment are, below the trainer's root folder.

    Names of some servers begin with a slash, such as ``/Users/me/motion``; that is no place on this machine.

    Raises:
        ConfigError: If the name leads outside.
    """
    parts = [part for part in experiment.split("/") if part]
    if ".." in parts or "\0" in experiment:
        msg = f"trainer.logger: experiment_name {experiment!r:.80} leads out of {RUNS_FOLDER}; leave out `..`"
        raise ConfigError(msg)
    return Path(root or ".", RUNS_FOLDER, *parts)


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


def require_feature_store(policy: Any) -> None:  # noqa: ANN401 (jsonargparse's namespaces)
    """Refuse, before a model is loaded, a ``model.policy.feature_store`` that cannot be used.

    Args:
        policy: The settings below ``model.policy``; None for the defaults.

    Raises:
        ConfigError: Naming the key.
    """
    store = None if policy is None else policy.get("feature_store")
    if store is not None:
        from remot.models.inputs.feature_store import FeatureStore

        given = FeatureStore(**vars(store.get("init_args", store)))
        given.require_usable(train_vision=bool(policy.get("train_vision")))


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
