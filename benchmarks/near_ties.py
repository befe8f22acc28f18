"""Where two evaluations of one model reply differently, and how near the two tokens are that part them.

    python benchmarks/near_ties.py --first OUT1/answers.jsonl --second OUT2/answers.jsonl --model FOLDER --data BENCH

``--model`` is a whole model (`remot export --merge`), ``--data`` the folder of remot-bench. For each prompt with two
replies the first token that differs is named, and how far apart the log-probabilities of both tokens are under the
model: little is a near tie, which rounding decides.
"""

import argparse
import json
from itertools import takewhile
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, ProcessorMixin

from remot.evaluation.benchmarks.base import BenchmarkPrompt
from remot.evaluation.benchmarks.remot_bench import RemotBench


def main() -> None:
    """Print a line for each prompt with two replies."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("first", "second", "model", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    first, second = replies_of(args.first), replies_of(args.second)
    differing = [name for name in first if name in second and first[name] != second[name]]
    print(f"{len(differing)} of {len(first.keys() & second.keys())} replies differ")
    if not differing:
        return
    prompts = {prompt.prompt_id: prompt for prompt in RemotBench().read(args.data)}
    processor = AutoProcessor.from_pretrained(args.model)
    model = AutoModelForImageTextToText.from_pretrained(args.model, dtype=torch.float32).eval()
    for name in differing:
        position, tokens, gap = parting(model, processor, prompts[name], first[name], second[name])
        print(f"{name}: token {position}, {' or '.join(map(repr, tokens))}, log-probabilities {gap:.2g} apart")


def replies_of(file: Path) -> dict[str, str]:
    """Replies by prompt."""
    with file.open() as lines:
        return {row["id"]: row["reply"] for row in map(json.loads, lines)}


@torch.no_grad()
def parting(
    model: torch.nn.Module,
    processor: ProcessorMixin,
    prompt: BenchmarkPrompt,
    first: str,
    second: str,
) -> tuple[int, list[str], float]:
    """Position of the first token that differs, both tokens, and the difference of their log-probabilities."""
    content = [{"type": "image"} for _ in prompt.images] + [{"type": "text", "text": prompt.text}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    images = [Image.open(file).convert("RGB") for file in prompt.images]
    ids = [processor.tokenizer(reply + "<|im_end|>", add_special_tokens=False).input_ids for reply in (first, second)]
    shared = [a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(*ids, strict=False))]
    inputs = processor(text=[text], images=images, return_tensors="pt")
    if shared:
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([shared])], dim=1)
        for key in ("attention_mask", "mm_token_type_ids"):
            if key in inputs:
                filler = torch.full((1, len(shared)), int(key == "attention_mask"))
                inputs[key] = torch.cat([inputs[key], filler], dim=1)
    logprobs = model(**inputs).logits[0, -1].float().log_softmax(-1)
    parted = [one[len(shared)] for one in ids if len(one) > len(shared)]
    words = [processor.tokenizer.decode([token]) for token in parted]
    return (
        len(shared),
        words,
        float(abs(logprobs[parted[0]] - logprobs[parted[1]])) if len(parted) == 2 else float("nan"),
    )


if __name__ == "__main__":
    main()
