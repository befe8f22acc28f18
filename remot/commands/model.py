"""``remot model blank``: remot-tiny's architecture and tokenizer with random weights."""

from pathlib import Path


def blank_command(out: Path, num_texts: int = 2000, seed: int = 0) -> None:
    """Write a model folder whose vocabulary is learnt from the embedded clips' prompts and responses.

    Args:
        out: Folder to write.
        num_texts: Prompts the vocabulary is learnt from.
        seed: Of the prompts and the weights.
    """
    from remot.data.prompt_data import DataOptions, PromptData
    from remot.models.tiny import write_model_folder

    data = PromptData(batch_size=1, num_train_prompts_per_epoch=num_texts, options=DataOptions(seed=seed))
    data.setup()
    questions = [data.prompts["train"].prompt(number).question for number in range(num_texts)]
    texts = [text for question in questions for text in (question.text, question.reasoning)]
    write_model_folder(out, texts, seed=seed)
