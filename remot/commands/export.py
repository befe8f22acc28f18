"""``remot export``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from remot.commands.evaluate_weights import folder_digest, weights_hash
from remot.commands.policies import OpenedPolicy, open_policy
from remot.errors import ConfigError
from remot.files import cause_of
from remot.locks import is_unwritten, staged
from remot.terminal import write_err, write_out

if TYPE_CHECKING:
    from remot.models.export import ExportCheck

#: Largest difference of logits, as a share of the largest logit, that is rounding alone, by precision.
_ROUNDING = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}


def export_command(  # noqa: PLR0913 (options of the command line)
    out: Path,
    model: str | None = None,
    ckpt_path: Path | None = None,
    config: list[Path] | None = None,
    merge: bool = False,  # noqa: FBT001, FBT002 (a switch of the command line)
    base_name: str | None = None,
    results: Path | None = None,
    scores: list[Path] | None = None,
    push: str | None = None,
    check: bool = True,  # noqa: FBT001, FBT002 (a switch of the command line)
) -> None:
    """Write a trained policy with a model card for transformers, PEFT and vLLM to load, and check that it is the same.

    Args:
        out: Folder to write; it must not hold anything yet.
        model: A model or a folder of adapters, such as RUN/adapter.
        ckpt_path: Checkpoint of a run, such as RUN/last.ckpt.
        config: Configuration of the run; the one that the checkpoint holds if left out.
        merge: Write a whole model with the adapters added to its weights, 4-bit weights dequantised.
        base_name: Name of the base model on the hub, where the run was given a folder.
        results: JSON table for the model card; RUN/held_out.json if left out and there.
        scores: A scores.json of `remot evaluate` for the model card, made of these weights; may be given several times.
        push: Repository on the hub to upload the folder to, such as ORG/NAME.
        check: Load the result with transformers and PEFT alone and compare its logits with the policy's.
    """
    if not is_unwritten(out):
        msg = f"--out {out} is there already and not an empty folder: choose another one"
        raise ConfigError(msg)
    from remot.evaluation.model_card import CardFacts, read_results, read_scores, run_config, write_card
    from remot.models.export import check_export, name_base, published_base, save_merged, save_trained
    from remot.strategies.settings import PolicySettings

    opened = open_policy(model, ckpt_path, config)
    policy = opened.policy
    is_adapter = policy.adaptation.reference_is_base and not merge
    base = published_base(policy.source, base_name) if is_adapter else base_name or policy.base_name
    table = read_results(results, opened.run_folder, opened.step)
    benchmarks = []
    if scores:
        settings = PolicySettings(policy.source, policy.adaptation)
        benchmarks = read_scores(scores, weights_hash(folder_digest(policy.source.resolve()), settings, ckpt_path))
    write_err(f"weights  {opened.weights}\n")
    config_of_run = opened.config or run_config(opened.run_folder)
    with _written_to(out) as stage:
        if merge:
            save_merged(policy, stage)
        else:
            save_trained(policy, stage, step=opened.step)
        if is_adapter:
            name_base(stage, base, opened.step)
        else:
            (stage / "remot.json").unlink(missing_ok=True)
        checked = _checked(check_export(policy, stage, is_adapter=is_adapter), opened) if check else None
        facts = CardFacts(base, is_adapter=is_adapter, step=opened.step, check=checked)
        write_card(stage, facts, config=config_of_run, results=table, benchmarks=benchmarks)
    write_out(f"{out}\n")
    if push is not None:
        _push(out, push)


@contextmanager
def _written_to(out: Path) -> Iterator[Path]:
    """Where the export is written and checked before it is one.

    Raises:
        ConfigError: If ``out`` cannot be written, or another process writes to it.
    """
    try:
        with staged(out, is_new=True) as stage:
            yield stage
    except OSError as error:
        msg = f"--out {out}: cannot be written ({cause_of(error)}); choose another one"
        raise ConfigError(msg) from error


def _checked(check: "ExportCheck", opened: OpenedPolicy) -> str:
    """Print the difference, and return it as a sentence for the card.

    Raises:
        ConfigError: If the export does not compute what the policy does.
    """
    policy = opened.policy
    shown = f"its logits differ by at most {check.max_difference:.2g} of up to {check.max_logit:.3g}"
    write_err(f"checked  with transformers alone: {shown}, over {check.num_positions} positions\n")
    is_quantised = policy.adaptation.quantization_config() is not None
    if not check.max_difference <= _ROUNDING["bfloat16" if is_quantised else policy.source.dtype] * check.max_logit:
        msg = f"the export does not compute what the policy does: {shown}; do not use it, and report this"
        raise ConfigError(msg)
    return f"Loaded with transformers alone {shown} from those of the policy that was trained."


def _push(folder: Path, repository: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    try:
        api.create_repo(repository, exist_ok=True, private=True)
        address = api.upload_folder(repo_id=repository, folder_path=folder)
    except (OSError, ValueError, HfHubHTTPError, LocalTokenNotFoundError) as error:
        msg = f"--push {repository}: {str(error).splitlines()[0]}; the export is complete in {folder}"
        raise ConfigError(msg) from error
    write_err(f"pushed   {address}\n")
