"""Encoding a prompt with a video without a feature store, with an empty one, and with one that holds it.

    python benchmarks/feature_store.py                              # 16 and 64 frames of 224 pixels, a tower 384 wide
    python benchmarks/feature_store.py --frames 16 --width 768 --heads 12 --repeats 5

Weights are random, the model a small Qwen3-VL whose language model is 1024 wide, so that features are. Each way is run
in turn, so that other work on the machine meets all of them alike. The last line of the output is JSON. See
docs/video.md.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from remot.models import FeatureStore, FullWeights, ModelSource, VLMPolicy
from remot.models.inputs.prompts import EncodedPrompts, ProcessedPrompts
from remot.models.tiny import TinySizes, write_model_folder
from remot.structures import MotionLabel, PromptBatch, Question, Slot, Video

WAYS = ("without", "empty", "full")
TEXT = "Which way did the camera turn?"


def load(folder: Path, options: argparse.Namespace) -> VLMPolicy:
    """A policy of random weights whose processor leaves videos in the size they have."""
    sizes = TinySizes(
        hidden_size=1024, num_layers=1, num_heads=16, num_key_value_heads=4, intermediate_size=1024,
        vision_hidden_size=options.width, vision_depth=options.depth, vision_heads=options.heads,
        image_pixels=options.side,
    )  # fmt: skip
    write_model_folder(folder, [TEXT] * 3, sizes=sizes)
    source = ModelSource(str(folder), dtype=options.dtype, video_min_pixels=1, video_max_pixels=2**28)
    return VLMPolicy(source, FullWeights(), with_reference=False)


def prompt(policy: VLMPolicy, num_frames: int, side: int) -> ProcessedPrompts:
    """One question about a video of noise at two frames a second."""
    generator = torch.Generator().manual_seed(num_frames)
    frames = torch.randint(0, 256, (num_frames, 3, side, side), generator=generator, dtype=torch.uint8)
    slot = Slot(MotionLabel((1, 2), "camera_yaw", "left", 1.0, "degrees"), ("right", "left", "none"), "B")
    question = Question("prompt", TEXT, (slot,), "benchmark", "scene")
    video = Video(frames, tuple(k / 2 for k in range(num_frames)))
    return policy.process(PromptBatch([[]], [question], ["clip"], [[video]]))


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock and of the processor, and the result; a GPU is waited for."""
    started = time.perf_counter(), time.process_time()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started[0], time.process_time() - started[1], result


def measure(policy: VLMPolicy, num_frames: int, options: argparse.Namespace) -> dict[str, Any]:
    """Each way in turn, ``repeats`` times after one that warms up."""
    prompts = prompt(policy, num_frames, options.side)
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for repeat in range(options.repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            stored = FeatureStore(Path(folder)).open(policy.core, train_vision=False)
            stored.of(policy.core)  # hashes the weights, once for each run
            found: dict[str, EncodedPrompts] = {}
            for way in WAYS:
                policy.stored_features = None if way == "without" else stored
                *times, found[way] = timed(lambda: policy.encode(prompts))
                if repeat:
                    seconds[way].append((times[0], times[1]))
            num_bytes = sum(file.stat().st_size for file in Path(folder).rglob("*.safetensors"))
    pairs = zip(found["empty"].features, found["full"].features, found["without"].features, strict=True)
    return {
        "frames": num_frames,
        "tokens": int(prompts.visual_mask.sum()),
        "bytes": num_bytes,
        "is_same": all(torch.equal(first, second) for first, second, _ in pairs),
        **{way: summary(seconds[way]) for way in WAYS},
    }


def summary(times: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """Median, least and most of the clock's and the processor's seconds."""
    columns = dict(zip(("clock", "processor"), zip(*times, strict=True), strict=True))
    return {name: [statistics.median(column), min(column), max(column)] for name, column in columns.items()}


def row(found: Mapping[str, Any]) -> str:
    """A line of the table: processor seconds."""
    cells = ["{:.3f} ({:.3f} to {:.3f})".format(*found[way]["processor"]) for way in WAYS]
    return f"| {found['frames']} | {found['tokens']} | {' | '.join(cells)} | {found['bytes'] / 10**6:.2f} |"


def main() -> None:
    """Print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--side", type=int, default=224, help="of a frame, in pixels; a multiple of 32")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        policy = load(Path(folder), options)
    policy = policy.cuda() if torch.cuda.is_available() else policy
    with tempfile.TemporaryDirectory() as folder:
        stored = FeatureStore(Path(folder)).open(policy.core, train_vision=False)
        *_, seconds, _ = timed(lambda: stored.of(policy.core))
    print("| frames | tokens | without, processor seconds | empty | full | MB |\n|---|---|---|---|---|---|")
    numbers = []
    for num_frames in options.frames:
        numbers.append(measure(policy, num_frames, options))
        print(row(numbers[-1]), flush=True)
    num_weights = sum(weight.numel() for weight in policy.core.model.visual.parameters())
    print(json.dumps({"tower_weights": num_weights, "tower_hash_seconds": seconds, "videos": numbers}, allow_nan=False))


if __name__ == "__main__":
    main()
