"""Long videos: memory and time of each pass over one prompt with a video, in parts and at once.

    python benchmarks/long_video.py                                  # 8, 64, 128 and 256 frames of 224 pixels, float32
    python benchmarks/long_video.py --frames 64 --side 112 --repeats 1 --json numbers.json

A random Qwen3-VL 256 wide with 6 layers answers one question about a video of noise with 4 completions of 64 tokens.
Each figure comes from processes of their own, one a repeat: the median, and the least and the most. Memory is the
kernel's peak above what was resident before the pass. transformers' ``generate`` gets the same prompt in the same
model. The last line of the output is JSON. See benchmarks/README.md.
"""

import argparse
import ctypes
import gc
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from grpo.memory import forget_peak, resident_bytes
from grpo.sizes import write_processor_and_config

from remot.models import LoRA, ModelSource, VLMPolicy
from remot.models.inputs import tower
from remot.models.inputs.prompts import EncodedPrompts, ProcessedPrompts
from remot.models.packing import prefill
from remot.rollout.decoding.engine import generate
from remot.rollout.sampling import RolloutAddress, RolloutRequest, SamplingSettings
from remot.structures import MotionLabel, PromptBatch, Question, Slot, Video

WORDS = [f"What moved between second {k} and second {k + 1}, and where to?" for k in range(9)]
FRAMES = [8, 64, 128, 256]
MEBIBYTE = 1 << 20
#: More than any prompt has: nothing is divided.
NO_LIMIT = 2**40
#: Each pass, and whether it is divided here; ``generate`` is transformers', which encodes the video, too.
WAYS = (
    "encode at once",
    "encode",
    "prefill at once",
    "prefill",
    "rollout",
    "encode and rollout",
    "generate",
    "score",
    "score, checkpointing",
)


def load(folder: Path, *, checkpointing: bool) -> VLMPolicy:
    """A policy of random weights with adapters, that never ends a turn."""
    source = ModelSource(str(folder), random_weights=True, video_min_pixels=1, video_max_pixels=2**28)
    policy = VLMPolicy(source, LoRA(rank=16), gradient_checkpointing=checkpointing, prefix_sharing="on")
    policy.logit_bias[list(policy.eos_token_ids)] = -torch.inf
    return policy


def prompt(num_frames: int, side: int) -> PromptBatch:
    """A question about a video of noise, two frames a second."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (num_frames, 3, side, side), generator=generator, dtype=torch.uint8)
    slot = Slot(MotionLabel((1, 2), "camera_yaw", "left", 1.0, "degrees"), ("right", "left", "none"), "B")
    question = Question("prompt", WORDS[0], (slot,), "benchmark", "scene")
    video = Video(frames, tuple(number / 2 for number in range(num_frames)))
    return PromptBatch([[]], [question], ["clip"], [[video]])


def roll_out(policy: VLMPolicy, encoded: EncodedPrompts, asked: argparse.Namespace) -> torch.Tensor:
    """Tokens [1, G, T]."""
    address = RolloutAddress(0, 0, ("prompt",))
    request = RolloutRequest(asked.completions, asked.tokens, SamplingSettings(), address)
    return generate(policy, encoded, request).token_ids


def score(policy: VLMPolicy, encoded: EncodedPrompts, asked: argparse.Namespace) -> None:
    """Log-probabilities with gradient, and the backward pass."""
    allowed = policy.logit_bias.isfinite().nonzero()[:, 0]
    shape, generator = (1, asked.completions, asked.tokens), torch.Generator().manual_seed(0)
    ids = allowed[torch.randint(len(allowed), shape, generator=generator)]  # [1, G, T]
    policy.completion_logprobs(encoded, ids).sum().backward()  # type: ignore[no-untyped-call]


def own_generate(policy: VLMPolicy, prompts: ProcessedPrompts, asked: argparse.Namespace) -> None:
    """The way of transformers from pixels to completions, by the same weights with adapters."""
    assert prompts.videos is not None
    with policy.evaluating():
        policy.core.generate(
            input_ids=prompts.input_ids,
            attention_mask=prompts.prompt_mask.long(),
            mm_token_type_ids=prompts.token_types,
            pixel_values_videos=prompts.videos.patches,
            video_grid_thw=prompts.videos.grid_thw,
            num_return_sequences=asked.completions,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            min_new_tokens=asked.tokens,
            max_new_tokens=asked.tokens,
        )


def work_of(
    way: str, policy: VLMPolicy, num_frames: int, asked: argparse.Namespace
) -> tuple[Callable[[], object], int]:
    """What is measured, with everything before it done; and the columns of the prompt."""
    if way.endswith("at once"):
        tower.PASS_PATCHES = prefill.PASS_TOKENS = prefill.LEAST_COLUMNS = NO_LIMIT
    prompts = policy.process(prompt(num_frames, asked.side))
    columns = prompts.input_ids.shape[1]
    if way.startswith("encode"):
        if way == "encode and rollout":
            return lambda: roll_out(policy, policy.encode(prompts), asked), columns
        return partial(policy.encode, prompts), columns
    if way == "generate":
        return partial(own_generate, policy, prompts, asked), columns
    with torch.no_grad():
        encoded = policy.encode(prompts)
    if way.startswith("prefill"):
        return partial(policy.prefill, encoded), columns
    work = score if way.startswith("score") else roll_out
    return partial(work, policy, encoded, asked), columns


def measure(way: str, num_frames: int, asked: argparse.Namespace) -> dict[str, float]:
    """Seconds, and the peak above what was resident before, of one run in this process."""
    torch.set_num_threads(asked.threads)
    policy = load(Path(asked.folder), checkpointing=way.endswith("checkpointing"))
    work, columns = work_of(way, policy, num_frames, asked)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    forget_peak()
    before, started, cpu = resident_bytes("self"), time.perf_counter(), time.process_time()
    kept = work()
    found = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    del kept
    return {"columns": columns, "mib": (peak - before) / MEBIBYTE} | found


def measured_apart(way: str, num_frames: int, asked: argparse.Namespace) -> dict[str, float]:
    """:func:`measure` in a process of its own, which begins with the libraries imported and nothing computed."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        return pool.submit(measure, way, num_frames, asked).result()


def row_of(way: str, runs: list[dict[str, float]], num_frames: int) -> dict[str, Any]:
    """Medians, least and most over the runs."""
    row: dict[str, Any] = {"frames": num_frames, "columns": int(runs[0]["columns"]), "way": way}
    for name in ("mib", "seconds", "cpu_seconds"):
        numbers = sorted(run[name] for run in runs)
        row[name] = [statistics.median(numbers), numbers[0], numbers[-1]]
    return row


def spread(numbers: list[float], digits: int) -> str:
    """Median, least and most as text."""
    median, least, most = (f"{number:.{digits}f}" for number in numbers)
    return f"{median} ({least} to {most})"


def machine() -> str:
    """The processor's name, its cores, and the load."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{named}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=FRAMES)
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--completions", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--size", default="small", help="of benchmarks/grpo/sizes.py")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    asked = parser.parse_args()
    print(f"{machine()}, {asked.threads} thread(s), {asked.repeats} repeats, median (least to most)")
    print("| frames | columns | pass | MiB | s | processor s |\n|---|---|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        asked.folder = folder
        write_processor_and_config(Path(folder), WORDS, asked.size, image_pixels=asked.side)
        for num_frames in asked.frames:
            for way in asked.ways:
                runs = [measured_apart(way, num_frames, asked) for _ in range(asked.repeats)]
                rows.append(row := row_of(way, runs, num_frames))
                texts = [spread(row["mib"], 0), spread(row["seconds"], 1), spread(row["cpu_seconds"], 1)]
                print("|", " | ".join([str(num_frames), str(row["columns"]), way, *texts]), "|", flush=True)
    text = json.dumps({"machine": machine(), "rows": rows})
    if asked.json:
        asked.json.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
