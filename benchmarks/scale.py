"""What many GPUs would wait for in a rollout, simulated: the longest completion of a step.

Run ``python benchmarks/scale.py`` for lengths of an assumed heavy tail, ``--lengths FILE`` for measured ones, a
JSON list of completions' numbers of tokens. Decoding is taken to cost a fixed time a token while any completion of
a GPU goes on.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

STEPS = 300
GPUS = (1, 8, 64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of the share of time that GPUs wait."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=Path, help="JSON list of completions' numbers of tokens")
    parser.add_argument("--max-new-tokens", type=int, default=1024)
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 4, 16], help="prompts of a GPU in a step")
    parser.add_argument("--completions", type=int, default=8)
    options = parser.parse_args(arguments)
    generator = np.random.default_rng(0)
    lengths = heavy_tail(generator, options.max_new_tokens)
    if options.lengths is not None:
        lengths = np.array(json.loads(options.lengths.read_text(encoding="utf-8")))
    low, middle, high = (int(np.quantile(lengths, share)) for share in (0.05, 0.5, 0.95))
    print(f"{len(lengths)} lengths: 5 % {low}, median {middle}, 95 % {high}, most {lengths.max()}")
    print("| prompts of a GPU | GPUs | waiting, mean (5 to 95 % of the steps) |\n|---|---|---|")
    for prompts in options.prompts:
        for gpus in GPUS:
            shares = waiting(generator, lengths, gpus, prompts * options.completions)
            few, many = np.quantile(shares, [0.05, 0.95])
            print(f"| {prompts} | {gpus} | {statistics.fmean(shares):.0%} ({few:.0%} to {many:.0%}) |")


def heavy_tail(generator: np.random.Generator, max_new_tokens: int) -> NDArray[np.int64]:
    """Log-normal lengths around 150 tokens, cut off at the limit: an assumption, as of models that reason."""
    return np.minimum(np.exp(generator.normal(np.log(150), 0.7, 20_000)), max_new_tokens).astype(np.int64)


def waiting(
    generator: np.random.Generator, lengths: NDArray[np.int64], gpus: int, completions: int
) -> NDArray[np.float64]:
    """For each step the share of all GPUs' time in the rollout that is spent waiting for the longest completion."""
    drawn = generator.choice(lengths, (STEPS, gpus, completions))
    longest = drawn.max(axis=2)  # [steps, gpus]
    share: NDArray[np.float64] = 1 - longest.mean(axis=1) / longest.max(axis=1)
    return share


if __name__ == "__main__":
    main()
