"""Chooses the subcommand. Training commands go to Lightning's command line, the others are plain functions."""

import difflib
from collections.abc import Callable

from remot.errors import ConfigError

OWN_COMMANDS = ("compare", "data", "model")
#: Options that the first word after a command stands for.
POSITIONALS = {("data", "audit"): "folder", ("data", "show"): "folder", ("data", "validate"): "root"}

HELP = """\
usage: remot COMMAND …

train and evaluate (configuration in YAML, every key also on the command line):
  remot fit      --config configs/quickstart.yaml
  remot validate --config … --ckpt_path …
  remot test     --config … --ckpt_path …
  remot predict  --config … --ckpt_path …

look at results and data:
  remot compare --experiment quickstart       one table over the runs of an experiment, and a plot
  remot data validate DIR                     check annotated clips and name what is wrong
  remot data build --config … --out DIR       write triplets, their pictures and a manifest
  remot data show DIR                         contact sheet of built triplets
  remot data audit DIR|--config …             check labels, answers and splits
  remot data render --out DIR                 render synthetic annotated clips
  remot model blank --out DIR                 write remot-tiny's architecture and tokenizer with random weights

remot COMMAND --help says more.
"""


def run(args: list[str]) -> None:
    """Run the command named by the first argument."""
    if not args or args[0] in {"-h", "--help"}:
        _write(HELP)
    elif args[0] == "--version":
        from remot import __version__

        _write(f"remot {__version__}\n")
    elif args[0] in OWN_COMMANDS:
        _run_function(args)
    else:
        from remot.commands.training import run_training

        run_training(args)


def _write(text: str) -> None:
    import sys

    sys.stdout.write(text)


def _run_function(args: list[str]) -> None:
    from remot.commands.own import run_function

    name, rest = args[0], args[1:]
    commands = _functions(name)
    if not isinstance(commands, dict):
        run_function(commands, rest, f"remot {name}")
        return
    if not rest or rest[0] in {"-h", "--help"}:
        _write(_overview(name, commands))
        return
    if rest[0] not in commands:
        near = difflib.get_close_matches(rest[0], commands, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(commands)}"
        msg = f"remot {name} has no command {rest[0]!r}, {hint}"
        raise ConfigError(msg)
    function = commands[rest[0]]
    run_function(function, rest[1:], f"remot {name} {rest[0]}", POSITIONALS.get((name, rest[0]), ""))


def _overview(name: str, commands: dict[str, Callable[..., None]]) -> str:
    lines = [f"  {command:10} {(function.__doc__ or '').splitlines()[0]}" for command, function in commands.items()]
    return "\n".join([f"usage: remot {name} COMMAND …", "", *lines, "", f"remot {name} COMMAND --help says more.", ""])


def _functions(command: str) -> Callable[..., None] | dict[str, Callable[..., None]]:
    if command == "compare":
        from remot.tracking import compare_command

        return compare_command
    if command == "data":
        from remot.commands.audit import audit_command
        from remot.commands.build import build_command
        from remot.commands.show import show_command
        from remot.data.render import render_command
        from remot.data.validation import validate_command

        return {
            "build": build_command,
            "show": show_command,
            "audit": audit_command,
            "validate": validate_command,
            "render": render_command,
        }
    from remot.commands.blank import blank_command

    return {"blank": blank_command}
