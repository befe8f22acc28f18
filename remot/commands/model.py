"""``remot model blank``: remot-tiny's architecture and tokenizer with random weights."""

from pathlib import Path

from remot.commands.data.sources import data_from, data_section
from remot.models.tiny import TinySizes
from remot.terminal import write_out

REMOT_TINY = TinySizes()


def blank_command(
    out: Path,
    config: list[Path] | None = None,
    root: str | None = None,
    num_texts: int = 2000,
    seed: int = 0,
    sizes: TinySizes = REMOT_TINY,
) -> None:
    """Write a small random model whose vocabulary is learnt from a configuration's prompts.

    Args:
        out: Folder to write.
        config: Configuration whose data section and root are read; the embedded clips by default.
        root: Folder of annotated clips, instead of the configuration's.
        num_texts: Prompts the vocabulary is learnt from.
        seed: Of the prompts and the weights.
        sizes: Sizes of the model; remot-tiny's by default.
    """
    from remot.models.tiny import write_model_folder

    section = data_section(config, root, seed)
    data = data_from(section | {"batch_size": 1, "num_train_prompts_per_epoch": num_texts})
    data.setup()
    questions = [data.prompts["train"].prompt(number).question for number in range(num_texts)]
    texts = [text for question in questions for text in (question.text, question.reasoning)]
    write_model_folder(out, texts, sizes=sizes, seed=seed)
    write_out(f"written to {out}; train it with: remot fit --config … --model.policy.source.pretrained {out}\n")
