"""``remot fit --help``: a screen of sections, and the keys of one section on request."""

import contextlib
import io
from collections.abc import Sequence

from remot.errors import ConfigError
from remot.terminal import write_out

SECTIONS = {
    "trainer": "length of the run, devices, precision, logger (Lightning's Trainer)",
    "model": "policy, strategy, SFT and GRPO objectives, optimizer, rollout, evaluation",
    "data": "clips, tasks, batch size, prompts of each split",
    "checkpoint": "what is saved and when",
    "held_out": "the comparison before and after training",
    "vision": "whether answers come from the frames",
    "samples": "prompts, completions and rewards that are printed and logged",
    "progress": "the progress line",
    "summary": "the end of a run, the exported policy",
    "interrupt": "what happens on Ctrl-C and signals",
    "resume": "settings that a continued run may change",
}
ALL = "all"


def print_help(args: Sequence[str]) -> bool:
    """Answer ``COMMAND --help [SECTION]``.

    Returns:
        False for anything else, such as ``--help`` after options, or help for all keys, which the parser prints.

    Raises:
        ConfigError: If there is no such section.
    """
    if len(args) not in (2, 3) or args[1] not in ("-h", "--help") or args[2:] == [ALL]:
        return False
    if len(args) == 2:
        write_out(_overview(args[0]))
    elif args[2] in SECTIONS:
        write_out(_section(args[0], args[2]))
    else:
        msg = f"remot {args[0]} --help has no section {args[2]!r:.80}, choose from {', '.join(SECTIONS)}, {ALL}"
        raise ConfigError(msg)
    return True


def _overview(command: str) -> str:
    lines = [f"  {name:12} {summary}" for name, summary in SECTIONS.items()]
    return "\n".join(
        [
            f"usage: remot {command} --config FILE [--config FILE …] [--KEY VALUE …]",
            "",
            "  --config FILE         settings in YAML, a path or a packaged recipe (remot configs); later ones win",
            "  --root DIR            folder of annotated clips; the embedded ones by default",
            "  --seed_everything N   the seed of everything",
            "  --ckpt_path FILE      checkpoint to continue from, or to evaluate",
            "  --offline             begin without asking MLflow, which gets everything later",
            "  --print_config        print all settings and stop",
            "",
            "sections; every key of them in YAML is also an option, such as --data.batch_size 4:",
            *lines,
            "",
            f"remot {command} --help SECTION lists the keys of a section, remot {command} --help {ALL} those of all.",
            "",
        ]
    )


def _section(command: str, section: str) -> str:
    from remot.commands.training.cli import run_training

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        run_training(["fit" if command == "doctor" else command, "--help"])
    return options_of(section, printed.getvalue())


def options_of(section: str, text: str) -> str:
    """The options of a section, with their explanations, among those of an argparse help text."""
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        if line.startswith("  -"):
            inside = line.strip().startswith((f"--{section}.", f"--{section} "))
        elif not line.startswith("   "):
            inside = False
        if inside:
            kept.append(line)
    return "".join(kept)
