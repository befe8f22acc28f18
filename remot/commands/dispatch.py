"""Chooses the subcommand. Training commands go to Lightning's command line, the others are plain functions."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from remot.commands.configs import with_recipes
from remot.commands.environment import require_numeric_variables
from remot.errors import ConfigError, did_you_mean, require_docstrings
from remot.terminal import write_out

TRAINING = ("fit", "validate", "test", "predict", "doctor")
#: Options of a training command that make others unnecessary.
CONFIGURES = {"--config", "-c", "--print_config", "--help", "-h"}


@dataclass(frozen=True)
class Own:
    """A command that is a plain function.

    Args:
        place: Module and name of the function, which is imported when it is needed.
        positional: The option that a first word without dashes stands for; "" for none.
        summary: First line of the function's docstring, for the list of commands: importing all of them takes seconds.
    """

    place: str
    positional: str = ""
    summary: str = ""

    def load(self) -> Callable[..., None]:
        """The function."""
        module, _, name = self.place.partition(":")
        function: Callable[..., None] = getattr(import_module(module), name)
        return function


#: Commands by their first word, and by their second word where there is one.
COMMANDS: Mapping[str, Own | Mapping[str, Own]] = {
    "compare": Own("remot.tracking:compare_command"),
    "export": Own("remot.commands.export:export_command"),
    "sweep": Own("remot.commands.sweep.command:sweep_command", "file"),
    "evaluate": Own("remot.commands.evaluate:evaluate_command"),
    "view": Own("remot.commands.view:view_command", "runs"),
    "replay": Own("remot.commands.replay:replay_command", "run"),
    "sync": Own("remot.tracking:sync_command", "run"),
    "configs": Own("remot.commands.configs:configs_command", "name"),
    "score": Own("remot.commands.score:score_command"),
    "data": {
        "build": Own(
            "remot.commands.data.build:build_command",
            summary="Write prompts with their images and right answers to a folder.",
        ),
        "merge": Own(
            "remot.commands.data.build:merge_command",
            "folder",
            "Put the shards of a set of prompts together, as one build would have written them.",
        ),
        "show": Own(
            "remot.commands.data.show:show_command",
            "folder",
            "Write a contact sheet of prompts: images, labels or references, question and right answer.",
        ),
        "audit": Own(
            "remot.commands.data.audit:audit_command",
            "folder",
            "Check labels, references, right answers and splits; exit status 1 if they are wrong or leak.",
        ),
        "score": Own(
            "remot.commands.data.score:score_prompts_command",
            summary="Sample completions for training prompts and write how many are right, to choose prompts by.",
        ),
        "validate": Own(
            "remot.commands.data.validate:validate_command",
            "root",
            "Check every clip below a folder: its annotation, its media, and what can be asked about it.",
        ),
        "convert": Own(
            "remot.commands.data.convert:convert_command",
            "source",
            "Write published questions as a questions file, or prompts as Parquet for datasets.load_dataset.",
        ),
        "schema": Own(
            "remot.commands.data.validate:schema_command",
            summary="Print the JSON Schema (draft 2020-12) of the native clip format.",
        ),
        "render": Own("remot.synthetic.rendering:render_command", summary="Render a collection of synthetic clips."),
    },
    "record": {
        "vizdoom": Own(
            "remot.commands.data.record:vizdoom_command",
            "out",
            "Record clips of a game: camera, player, and things with boxes, depths and masks.",
        ),
        "aloha": Own(
            "remot.commands.data.record:aloha_command",
            "out",
            "Record clips of two robot arms: grippers, their openings, and a cube with boxes, depths and masks.",
        ),
        "miniworld": Own(
            "remot.commands.data.record:miniworld_command",
            "out",
            "Record clips of a walk through rooms: camera, agent, layout, and things with boxes, depths and masks.",
        ),
        "photos": Own(
            "remot.commands.data.record:photos_command",
            "out",
            "Record clips of a camera in rooms papered with your photographs; only the camera is annotated.",
        ),
    },
    "model": {
        "blank": Own(
            "remot.commands.model:blank_command",
            summary="Write a small random model whose vocabulary is learnt from a configuration's prompts.",
        )
    },
}

HELP = """\
usage: remot COMMAND …

train and evaluate (configuration in YAML, every key also on the command line):
  remot fit      --config configs/quickstart.yaml
  remot validate --config … --ckpt_path …
  remot test     --config … --ckpt_path …
  remot predict  --config … --ckpt_path …
  remot doctor   --config …                   before a long run: what it needs, what would fail, how long it takes
  remot configs [NAME]                        list the packaged recipes, or print one

score on a benchmark, and publish:
  remot evaluate --benchmark … --data …       a model, adapter, checkpoint or endpoint on a benchmark
  remot export --ckpt_path … --out DIR        write a trained policy for transformers, PEFT and vLLM, with a card

look at results and data:
  remot compare --experiment quickstart       one table over the runs of an experiment, and a plot
  remot view RUN [RUN2] --out page.html       frames, questions and replies of one evaluation, or of two side by side
  remot sweep strategies --jobs 2             runs over a grid of settings and seeds, and their comparison
  remot sync RUN                              deliver to MLflow what a run has kept while the store failed
  remot replay RUN                            where a skipped step first holds a number that is not finite
  remot score --config … --input rows.jsonl   rewards of answers that are there already
  remot data validate DIR                     check annotated clips and name what is wrong
  remot data build --config … --out DIR       write prompts, their images and a manifest
  remot data merge DIR --out DIR              put shards together that data build --shard I/N wrote
  remot data show DIR|--config …              contact sheet of prompts, built or of a run
  remot data audit DIR|FILE|--config …        check labels, references, answers and splits
  remot data score --config … --out FILE      how often a policy answers training prompts, to choose them by
  remot data convert FILE --out FILE          published questions to a questions file, or prompts to Parquet
  remot data schema                           print the JSON Schema of the clip format

make clips and models:
  remot data render --out DIR                 render synthetic annotated clips
  remot record vizdoom --out DIR              record annotated clips of a game (also: aloha, miniworld, photos)
  remot model blank --out DIR                 write remot-tiny's architecture and tokenizer with random weights

remot COMMAND --help says more.
"""


def run(args: list[str]) -> None:
    """Run the command named by the first argument.

    Raises:
        ConfigError: If there is no such command.
        CheckpointError: If the checkpoint that it is given is not there.
    """
    _require_checkpoint(args)
    if not args or args[0] in {"-h", "--help"}:
        write_out(HELP)
    elif args[0] == "--version":
        from remot._version import __version__

        write_out(f"remot {__version__}\n")
    elif args[0] in COMMANDS:
        _run_own(args[0], with_recipes(args[1:]))
    elif args[0] in TRAINING or args[0].startswith("-"):
        _run_training(args)
    else:
        _refuse("remot", args[0], (*TRAINING, *COMMANDS))


def _require_checkpoint(args: list[str]) -> None:
    """Refuse a checkpoint that is not there before torch is imported, which takes seconds."""
    for word, following in itertools.pairwise([*args, ""]):
        option, equals, value = word.partition("=")
        value = value if equals else following
        if option == "--ckpt_path" and value not in ("", "last", "null"):
            from remot.commands.training.checks import require_checkpoint

            require_checkpoint(value)


def _run_training(args: list[str]) -> None:
    """Answer or refuse without importing torch, which takes seconds, where that can be done."""
    from remot.commands.training.checks import require_sources
    from remot.commands.training.help import ALL, print_help

    require_docstrings()
    require_numeric_variables()
    if args[0] in TRAINING:
        _require_settings(args)
        if print_help(args):
            return
    args = args[:-1] if args[1:] in (["-h", ALL], ["--help", ALL]) else with_recipes(args)
    if "--print_config" not in args:
        require_sources(args)
    if args[0] == "doctor" and args[1:] not in (["-h"], ["--help"]):
        from remot.commands.doctor import run_doctor

        run_doctor(args[1:])
        return
    from remot.commands.training.cli import run_training

    run_training(["fit", *args[1:]] if args[0] == "doctor" else args)


def _require_settings(args: list[str]) -> None:
    """Refuse a training command that nothing configures, before torch is imported, which takes seconds."""
    given = [word.partition("=")[0] for word in args[1:]]
    # without a file, a fit ends where an option of the trainer says
    wanted = ("--trainer",) if args[0] == "fit" else ("--trainer", "--model", "--data", "--ckpt_path")
    is_enough = (word in CONFIGURES or word.endswith(".help") or word.partition(".")[0] in wanted for word in given)
    if not any(is_enough):
        msg = f"remot {args[0]} needs --config FILE, such as --config quickstart.yaml; the recipes: remot configs"
        raise ConfigError(msg)


def _run_own(name: str, args: list[str]) -> None:
    from remot.commands.parsing.functions import run_function

    chosen, prog = COMMANDS[name], f"remot {name}"
    if isinstance(chosen, Mapping):
        if not args or args[0] in {"-h", "--help"}:
            lines = [f"  {word:10} {own.summary}" for word, own in chosen.items()]
            ends = f"{prog} COMMAND --help says more.\n"
            write_out("\n".join([f"usage: {prog} COMMAND …", "", *lines, "", ends]))
            return
        if args[0] not in chosen:
            _refuse(prog, args[0], chosen)
        chosen, prog, args = chosen[args[0]], f"{prog} {args[0]}", args[1:]
    run_function(chosen.load(), args, prog, chosen.positional)


def _refuse(prog: str, word: str, known: Iterable[str]) -> NoReturn:
    msg = f"{prog} has no command {word!r:.80}, {did_you_mean(word, known)}"
    raise ConfigError(msg)
