"""The engine under a GRPO step by itself: decoding and scoring, in all the ways that the settings offer.

    python benchmarks/engine.py                                     # a small model, on whatever device there is
    python benchmarks/engine.py --size 4b --dtype bfloat16          # Qwen3-VL-4B's sizes, random weights; needs a GPU

Prints seconds of a decoded token for each way to decode, beside the time it takes to read the weights once; seconds of
the scoring pass with gradient and its rate of computing; how far sampler and scoring pass are apart. Completions end at
random unless told otherwise, so that rows leave. The last line of the output is JSON. See benchmarks/README.md.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from grpo.sizes import SIZES, write_processor_and_config

from remot.models import LoRA, ModelSource, VLMPolicy
from remot.models.inputs.prompts import EncodedPrompts
from remot.rollout.decoding.engine import RolloutEngine, RolloutSettings, generate
from remot.rollout.sampling import RolloutAddress, RolloutRequest, SamplingSettings
from remot.structures import MotionLabel, PromptBatch, Question, Rollout, Slot

WORDS = [f"What moved from picture {k} to picture {k + 1}, and where to?" for k in range(9)]


@dataclass(frozen=True)
class Setting:
    """What is decoded: P prompts of three square images, G completions of at most T tokens."""

    num_prompts: int
    num_completions: int
    num_tokens: int
    side: int
    repeats: int


def load(size: str, dtype: Any, folder: Path, end_bias: float | None) -> VLMPolicy:  # noqa: ANN401
    """A policy of random weights with adapters, on the GPU if there is one."""
    write_processor_and_config(folder, WORDS, size)
    source = ModelSource(str(folder), dtype=dtype, random_weights=True, min_pixels=1, max_pixels=2**24)
    policy = VLMPolicy(source, LoRA(rank=16), gradient_checkpointing=size == "4b")
    policy.logit_bias[list(policy.eos_token_ids)] = -torch.inf if end_bias is None else end_bias
    return policy.cuda() if torch.cuda.is_available() else policy


def prompts(setting: Setting) -> PromptBatch:
    """Images of noise."""
    generator = torch.Generator().manual_seed(0)
    shape = (3, setting.side, setting.side)
    slot = Slot(MotionLabel((1, 2), "camera_yaw", "left", 1.0, "degrees"), ("right", "left", "none"), "B")
    images, questions = [], []
    for k in range(setting.num_prompts):
        images.append([torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) for _ in range(3)])
        questions.append(Question(f"prompt-{k}", WORDS[k % len(WORDS)], (slot,), "benchmark", "scene"))
    return PromptBatch(images, questions, [f"clip-{k}" for k in range(setting.num_prompts)])


def seconds_of(work: Callable[[], object], repeats: int) -> float:
    """The least of some runs after one that warms up; a GPU is waited for."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def roll_out(policy: VLMPolicy, encoded: EncodedPrompts, setting: Setting, settings: RolloutSettings) -> Rollout:
    """Completions of all prompts."""
    address = RolloutAddress(0, 0, tuple(f"prompt-{k}" for k in range(setting.num_prompts)))
    request = RolloutRequest(setting.num_completions, setting.num_tokens, SamplingSettings(), address)
    return generate(policy, encoded, request, RolloutEngine(settings))


def weight_reading_seconds(policy: VLMPolicy) -> float:
    """Time to read what a decode step reads of the language model, at the bandwidth of a copy of a large buffer."""
    core = policy.core
    weights = [*core.model.language_model.parameters(), core.get_output_embeddings().weight]
    num_bytes = sum({weight.data_ptr(): weight.nbytes for weight in weights}.values())
    buffer = torch.empty(2**28, dtype=torch.uint8, device=policy.device)
    target = torch.empty_like(buffer)
    return num_bytes * seconds_of(lambda: target.copy_(buffer), 5) / (2 * buffer.nbytes)


def measure_decoding(policy: VLMPolicy, encoded: EncodedPrompts, setting: Setting) -> dict[str, Any]:
    """Seconds of each way to decode, and whether the tokens are the same."""
    ways = {"plain": RolloutSettings("plain"), "plain, a look at every 16th": RolloutSettings("plain", check_every=16)}
    ways |= {"in two parts": RolloutSettings("plain", prompts_together=max(1, setting.num_prompts // 2))}
    if policy.device.type == "cuda":
        ways |= {"cuda_graph": RolloutSettings("cuda_graph")}
    found: dict[str, Any] = {}
    first: Rollout | None = None
    for name, settings in ways.items():
        rollout = roll_out(policy, encoded, setting, settings)
        first = rollout if first is None else first
        same = rollout.token_ids.shape == first.token_ids.shape
        share = float((rollout.token_ids == first.token_ids).float().mean()) if same else 0.0
        seconds = seconds_of(partial(roll_out, policy, encoded, setting, settings), setting.repeats)
        found[name] = {"seconds": seconds, "by_step": seconds / rollout.token_ids.shape[-1], "same_tokens": share}
    return found


def measure_scoring(policy: VLMPolicy, encoded: EncodedPrompts, rollout: Rollout, repeats: int) -> dict[str, Any]:
    """Seconds of a pass with gradient over all groups, its rate, and the gap to the sampler."""
    gaps = []

    def work() -> None:
        policy.zero_grad()
        logprobs = policy.completion_logprobs(encoded, rollout.token_ids)
        gaps.append((logprobs.detach() - rollout.logprobs)[rollout.completion_mask].abs())
        logprobs[rollout.completion_mask].sum().backward()

    seconds = seconds_of(work, repeats)
    _, num_completions, num_tokens = rollout.token_ids.shape
    num_columns = len(encoded) * (encoded.prompts.input_ids.shape[1] + num_completions * num_tokens)
    numbers = sum(parameter.numel() for parameter in policy.core.model.language_model.parameters())
    # forward 2, backward to the activations 2; frozen weights take no gradient, recomputation is not counted as useful
    rate = 4 * numbers * num_columns / seconds
    return {
        "seconds": seconds,
        "useful_tflops": rate / 1e12,
        "logprob_gap_mean": float(gaps[0].mean()),
        "logprob_gap_max": float(gaps[0].max()),
        "shares_prompts": policy.shares_prompts(encoded),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--completions", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--end-bias", type=float, help="logit of the end of turn; completions never end without it")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    setting = Setting(asked.prompts, asked.completions, asked.tokens, asked.side, asked.repeats)
    with tempfile.TemporaryDirectory() as folder:
        policy = load(asked.size, asked.dtype, Path(folder), asked.end_bias)
    with torch.no_grad():
        encoded = policy.encode(policy.process(prompts(setting)))
    found: dict[str, Any] = {
        "size": asked.size,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "weight_reading_seconds": weight_reading_seconds(policy),
        "decode": measure_decoding(policy, encoded, setting),
    }
    rollout = roll_out(policy, encoded, setting, RolloutSettings("plain"))
    found["mean_tokens"] = float(rollout.num_tokens.float().mean())
    found["score"] = measure_scoring(policy, encoded, rollout, asked.repeats)
    for name, numbers in found["decode"].items():
        ratio = numbers["by_step"] / found["weight_reading_seconds"]
        print(f"{name:28} {numbers['seconds']:.3f} s, a step {1e3 * numbers['by_step']:.2f} ms, {ratio:.1f} x weights")
    print(f"scoring {found['score']}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
