"""Chooses the subcommand. Training commands go to Lightning's command line, the others are plain functions."""

from collections.abc import Callable
from typing import Any

OWN_COMMANDS = ("compare", "data", "model")

HELP = """\
usage: remot COMMAND …

train and evaluate (configuration in YAML, every key also on the command line):
  remot fit      --config configs/quickstart.yaml
  remot validate --config … --ckpt_path …
  remot test     --config … --ckpt_path …
  remot predict  --config … --ckpt_path …

look at results and data:
  remot compare --experiment quickstart       one table over the runs of an experiment, and a plot
  remot data render --out DIR                 render synthetic annotated clips
  remot data validate DIR                     check annotated clips and name what is wrong
  remot data audit --config …                 check labels, letters and splits before a run
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
    if args[:2] == ["data", "audit"]:
        from remot.commands.audit import run_audit

        run_audit(args[2:])
        return
    import jsonargparse

    words = [*args[1:2], *(["--root"] if _names_a_folder(args) else []), *args[2:]]
    jsonargparse.auto_cli(_functions(args[0]), args=words, prog=f"remot {args[0]}", as_positional=False)


def _names_a_folder(args: list[str]) -> bool:
    """True for ``remot data validate DIR``, the short form of ``--root DIR``."""
    return args[:2] == ["data", "validate"] and len(args) > 2 and not args[2].startswith("-")


def _functions(command: str) -> Callable[..., Any] | dict[str, Any]:
    if command == "compare":
        from remot.tracking import compare_command

        return compare_command
    if command == "data":
        from remot.commands.audit import audit_command
        from remot.data.render import render_command
        from remot.data.validation import validate_command

        return {"audit": audit_command, "render": render_command, "validate": validate_command}
    from remot.commands.blank import blank_command

    return {"blank": blank_command}
