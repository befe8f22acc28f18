"""The words of a task's questions: data, one file for a family of tasks."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from remot.data.questions.templates import read_yaml_mapping, require_texts
from remot.errors import ConfigError

#: A place in a wording.
_PLACE = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class TaskWordings:
    """Texts of one task by use, such as ``ask`` and ``closing``, each in one or several wordings."""

    file: Path
    task: str
    texts: dict[str, tuple[str, ...]]

    def say(self, use: str, generator: np.random.Generator, **places: str) -> str:
        """One of the texts for ``use``, drawn evenly, with its places filled; a ConfigError if that cannot be done."""
        texts = self.texts.get(use)
        if not texts:
            msg = f"the wordings {self.file} hold no text for {self.task}: {use}"
            raise ConfigError(msg)
        text = texts[int(generator.integers(len(texts)))]
        unknown = set(_PLACE.findall(text)) - places.keys()
        if unknown:
            msg = f"{self.file}: {self.task}: {use}: {{{unknown.pop()}}} is no place here; known: {', '.join(places)}"
            raise ConfigError(msg)
        return _PLACE.sub(lambda found: places[found[1]], text)


@cache
def read_wordings(task: str, family: str = "videochat", file: Path | None = None) -> TaskWordings:
    """The wordings of one task: the section of its name in ``remot/assets/wordings/tasks_FAMILY.yaml``, or in ``file``.

    Raises:
        ConfigError: If the file cannot be read, lacks the section, or the section holds something else than texts.
    """
    if file is None:
        file = Path(str(files("remot") / "assets" / "wordings" / f"tasks_{family}.yaml"))
    section = read_yaml_mapping(file).get(task)
    if not isinstance(section, dict) or not section:
        msg = f"the wordings {file} have no section {task!r} with texts by use"
        raise ConfigError(msg)
    uses = {str(use): require_texts(f"{file}: {task}: {use}", held) for use, held in section.items()}
    return TaskWordings(file, task, {use: tuple(map(str.strip, texts)) for use, texts in uses.items()})
