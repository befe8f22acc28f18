"""``remot configs``, and where configuration files are found: at the path given, else among the packaged recipes."""

import difflib
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from remot.errors import ConfigError
from remot.terminal import write_out

SUFFIXES = (".yaml", ".yml")
OPTIONS = ("--config", "-c")
#: Characters of a name that are compared with those of the recipes.
MAX_NAME = 100
#: Where a sentence ends; not after "Dr.".
SENTENCE_END = re.compile(r"(?<=[\w)]{3}\.)\s(?=[A-Z])")


def recipes_folder() -> Path:
    """The packaged ``configs`` folder; that of the repository for an editable installation."""
    package = Path(__file__).parents[1]
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


def find_config(name: str) -> Path:
    """The file at the path ``name``, else the packaged recipe of that name, with or without ``configs/`` in front.

    Raises:
        ConfigError: If there is neither.
    """
    if os.path.exists(name) and not os.path.isdir(name):  # noqa: PTH110, PTH112 - Path raises on overlong names
        return Path(name)
    folder = recipes_folder()
    recipe = (folder / name.removeprefix("configs/")).resolve()
    if recipe.is_relative_to(folder.resolve()) and os.path.isfile(recipe):  # noqa: PTH113 - as above
        return recipe
    near = _nearest_recipe(name, folder)
    hint = f"did you mean {near}?" if near else "see: remot configs"
    msg = f"--config {name:.200}: there is no such file, and no packaged recipe of that name; {hint}"
    raise ConfigError(msg)


def _nearest_recipe(name: str, folder: Path) -> str:
    """The recipe most like ``name``, with its folder or without; "" if none is near."""
    # of equal names that of the top folder counts
    recipes = sorted(folder.rglob("*.yaml"), key=lambda file: -len(file.parts))
    names = {short: file.relative_to(folder).as_posix() for file in recipes for short in (file.name, file.stem)}
    names |= {recipe: recipe for recipe in names.values()}
    close = difflib.get_close_matches(name[:MAX_NAME].removeprefix("configs/"), names, n=1)
    return names[close[0]] if close else ""


def with_recipes(args: Sequence[str]) -> list[str]:
    """Command-line words with the path of each configuration file in place of its name.

    Settings written out in place of a file, and lists of several files, are left to the parser.

    Raises:
        ConfigError: If a file does not exist, or is not named.
    """
    found = list(args)
    for index, word in enumerate(args):
        option, equals, value = word.partition("=")
        if option not in OPTIONS:
            continue
        if equals:
            found[index] = f"{option}={_file_of(value)}"
        elif index + 1 == len(args) or args[index + 1].startswith("-"):
            msg = f"{option} needs a file, such as quickstart.yaml; the recipes: remot configs"
            raise ConfigError(msg)
        else:
            found[index + 1] = _file_of(args[index + 1])
    return found


def _file_of(value: str) -> str:
    """Path of the file a value names; settings, which hold a colon or a bracket, as they are."""
    is_file = value.endswith(SUFFIXES) or not any(sign in value for sign in ":{[")
    return str(find_config(value)) if is_file else value


def configs_command(name: str | None = None, copy: Path | None = None) -> None:
    """List the packaged recipes, print one, or copy it.

    Args:
        name: Recipe to print, such as quickstart.yaml; all are listed by default.
        copy: New file to write the recipe to, instead of printing it.

    Raises:
        ConfigError: If there is no such recipe, or the new file cannot be made.
    """
    if name is None:
        write_out("".join(f"{recipe:42} {summary}\n" for recipe, summary in recipes()))
        return
    text = find_config(name).read_text(encoding="utf-8")
    if copy is None:
        write_out(text)
        return
    try:
        with copy.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        msg = f"--copy {copy}: {error.strerror}; name a new file"
        raise ConfigError(msg) from error
    write_out(f"written to {copy}\n")


def recipes() -> Iterator[tuple[str, str]]:
    """Name and first sentence of each packaged recipe, those of the top folder first."""
    folder = recipes_folder()
    files = (file.relative_to(folder) for file in folder.rglob("*.yaml"))
    for file in sorted(files, key=lambda file: (len(file.parts) > 1, file.as_posix())):
        with (folder / file).open(encoding="utf-8") as lines:
            comment = [line.lstrip("# ").rstrip() for line in itertools.takewhile(lambda line: line[:2] == "# ", lines)]
        yield file.as_posix(), SENTENCE_END.split(" ".join(comment))[0].removesuffix(":")
