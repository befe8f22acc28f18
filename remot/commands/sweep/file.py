"""What a sweep file says: base configuration, settings of all runs, a grid, seeds."""

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remot.commands.configs import find_config
from remot.commands.parsing.config_files import read_config_file
from remot.errors import ConfigError, did_you_mean
from remot.tracking.groups import short_names

KEYS = ("config", "set", "grid", "seeds")
#: In place of a setting, a configuration file on top of the base.
CONFIG = "config"
MAX_CELLS = 1000

#: A key of the configuration, or :data:`CONFIG`, with its value.
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One point of the grid.

    Args:
        name: Level of each axis, such as ``strategy=GRPO,logic=without``; ``base`` without a grid.
        settings: What it sets on top of the base.
    """

    name: str
    settings: Settings


@dataclass(frozen=True)
class Sweep:
    """A sweep file.

    Args:
        name: The file's name without its ending; the experiment's name, too.
        configs: Base configuration, later files on top of earlier ones.
        settings: Settings of all runs.
        cells: The grid.
        seeds: Each cell is run with each of them.
    """

    name: str
    configs: tuple[Path, ...]
    settings: Settings = field(default_factory=dict)
    cells: tuple[Cell, ...] = (Cell("base", {}),)
    seeds: tuple[int, ...] = (0,)

    def arguments(self, cell: Cell, seed: int, more: Sequence[str] = ()) -> list[str]:
        """Command-line words for ``remot fit``; ``more`` is KEY=VALUE, on top of everything but the seed."""
        files: list[str] = [str(file) for file in self.configs]
        words: list[str] = []
        for key, value in (*self.settings.items(), *cell.settings.items()):
            if key == CONFIG:
                files += [str(find_config(name)) for name in _listed(value)]
            else:
                words.append(f"--{key}={value if isinstance(value, str) else json.dumps(value, allow_nan=False)}")
        configs = [word for file in files for word in ("--config", file)]
        return [*configs, *words, *(f"--{one}" for one in more), f"--seed_everything={seed}"]


def find_sweep(name: str) -> Path:
    """The file at the path ``name``, else the packaged sweep of that name.

    Raises:
        ConfigError: If there is neither.
    """
    with_ending = name if name.endswith((".yaml", ".yml")) else f"{name}.yaml"
    for candidate in (name, f"sweeps/{with_ending}"):
        try:
            return find_config(candidate)
        except ConfigError:
            continue
    msg = f"remot sweep {name:.200}: there is no such file, and no packaged sweep of that name; see: remot configs"
    raise ConfigError(msg)


def read_sweep(file: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        ConfigError: If it cannot be read, a key is unknown, or a value is none that belongs there.
    """
    content = read_config_file(file)
    for key in content:
        if key not in KEYS:
            msg = f"{file}: there is no key {key!r:.80}, {did_you_mean(key, KEYS, 'a sweep has')}"
            raise ConfigError(msg)
    configs = tuple(find_config(name) for name in _listed(content.get("config", [])))
    if not configs:
        msg = f"{file}: config names the base configuration, such as configs/quickstart.yaml; it is missing"
        raise ConfigError(msg)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem)
    settings = _settings(file, "set", content.get("set", {}))
    cells, seeds = _cells(file, content.get("grid", {})), _seeds(file, content.get("seeds", [0]))
    return Sweep(name, configs, settings, cells, seeds)


def _listed(value: Any) -> list[str]:  # noqa: ANN401 (YAML)
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _seeds(file: Path, value: Any) -> tuple[int, ...]:  # noqa: ANN401 (YAML)
    if not (isinstance(value, list) and value and all(type(one) is int and one >= 0 for one in value)):
        msg = f"{file}: seeds is {value!r:.80}, write a list of whole numbers, such as [0, 1, 2]"
        raise ConfigError(msg)
    if len(set(value)) < len(value):
        msg = f"{file}: seeds has {value!r:.80}, write each seed once"
        raise ConfigError(msg)
    return tuple(value)


def _settings(file: Path, where: str, value: Any) -> Settings:  # noqa: ANN401 (YAML)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        msg = f"{file}: {where} holds keys of the configuration with their values, such as model.optimizer.lr: 1.0e-4"
        raise ConfigError(msg)
    return value


def _cells(file: Path, grid: Any) -> tuple[Cell, ...]:  # noqa: ANN401 (YAML)
    if not isinstance(grid, dict):
        msg = f"{file}: grid holds an axis a key: a setting with its values, or a name with what each level sets"
        raise ConfigError(msg)
    axes = {str(axis): list(_levels(file, str(axis), values)) for axis, values in grid.items()}
    names = short_names(list(axes))
    if math.prod(map(len, axes.values())) > MAX_CELLS:
        msg = f"{file}: the grid has more than {MAX_CELLS} cells, divide it"
        raise ConfigError(msg)
    cells = []
    for chosen in itertools.product(*axes.values()):
        parts = [f"{names[axis]}={label}" for axis, (label, _) in zip(axes, chosen, strict=True)]
        cells.append(Cell(",".join(parts) or "base", {key: one for _, level in chosen for key, one in level.items()}))
    return tuple(cells)


def _levels(file: Path, axis: str, values: Any) -> Iterator[tuple[str, Settings]]:  # noqa: ANN401 (YAML)
    """Label and settings of each level of an axis."""
    if isinstance(values, list) and values:
        labels = [value if isinstance(value, str) else json.dumps(value, allow_nan=False) for value in values]
        levels = [{axis: value} for value in values]
    elif isinstance(values, dict) and values:
        labels, levels = (
            list(values),
            [dict(_settings(file, f"grid.{axis}.{label}", one)) for label, one in values.items()],
        )
    else:
        msg = f"{file}: grid.{axis} is {values!r:.80}, write a list of values, or what each level sets by its name"
        raise ConfigError(msg)
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
        msg = f"{file}: the levels of grid.{axis} are {labels!r:.120}, each needs its own name; quote on and off"
        raise ConfigError(msg)
    return iter(zip(labels, levels, strict=True))
