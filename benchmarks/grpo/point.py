"""What is compared: the points of the grid, the model, the prompts and the reward, alike for both libraries."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

Setting = Literal["lora", "full"]
BETA = 0.01
LEARNING_RATE = 1e-6
LORA_RANK = 16
LORA_ALPHA = 32.0
#: TRL's default of ``per_device_train_batch_size``; a larger group is spread over several backward passes there.
TRL_ROWS = 8
QUESTION = (
    "From picture {0} to picture 2, which way did the camera turn? A: right B: left C: none. Then compare picture 2 "
    "and picture 3 in the same way, and picture 1 and picture 3. Answer with three letters."
)


#: Points at the lengths that recipes use; the last ends early.
LONG = ["lora:16:64:512:1", "lora:8:224:512", "lora:4:448:1024", "lora:8:224:512:3:128"]


@dataclass(frozen=True)
class Point:
    """One point of the grid.

    Args:
        setting: ``lora`` trains adapters of the language model, ``full`` every weight, the vision tower's too.
        num_completions: G.
        side_pixels: Side of the square images.
        num_tokens: New tokens of every completion; no completion ends before, unless it has a ``mean_tokens``.
        num_images: Images of a prompt.
        mean_tokens: Completions end at random after so many tokens on average, on both sides alike; 0 for never.
        checkpointing: Gradient checkpointing: ``default`` leaves each library its own default.
        num_repeats: Timed steps after the one that warms up.
        num_threads: Of torch.
        size: Of the model, one of :data:`grpo.sizes.SIZES`.
        dtype: Of its weights; trained adapters are float32 in this library whatever it is.
        device: ``cpu`` or ``cuda``.
        seed: Of weights, images and noise.
    """

    setting: Setting = "lora"
    num_completions: int = 8
    side_pixels: int = 448
    num_tokens: int = 64
    num_images: int = 3
    mean_tokens: int = 0
    checkpointing: Literal["default", "on", "off"] = "default"
    num_repeats: int = 3
    num_threads: int = 1
    size: str = "small"
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    seed: int = 0

    @property
    def num_steps(self) -> int:
        """Steps that are run, the one that warms up included."""
        return self.num_repeats + 1

    @property
    def name(self) -> str:
        """As ``--points`` takes it."""
        numbers = [self.num_completions, self.side_pixels, self.num_tokens, self.num_images, self.mean_tokens]
        for default in (0, 3):  # what stands at its default at the end is left out
            if numbers[-1] == default:
                numbers.pop()
        return ":".join([self.setting, *map(str, numbers)])

    def to_json(self) -> str:
        """For the command line of a process of its own."""
        return json.dumps(asdict(self))


def grid() -> list[str]:
    """Names of all points: those of the default setting first, at the end long, varied and text-heavy ones."""
    axes = product(("lora", "full"), (4, 8, 16), (224, 448), (32, 128))
    return [":".join(map(str, values)) for values in axes] + LONG


def parse_point(name: str, **settings: object) -> Point:
    """A point from its name, such as ``lora:8:448:64`` or ``lora:8:224:512:1:128``."""
    setting, *numbers = name.split(":")
    is_named = setting in ("lora", "full") and 3 <= len(numbers) <= 5
    if not is_named or not all(number.isdecimal() for number in numbers):
        msg = (
            "a point is setting:G:side:tokens, with :images and :mean tokens behind if wanted, such as lora:8:448:64 "
            f"with the setting lora or full, not {name!r}"
        )
        raise SystemExit(msg)
    return Point(setting, *map(int, numbers), **settings)  # type: ignore[arg-type]


def question(step: int) -> str:
    """The text of a step's prompt."""
    return QUESTION.format(1 + step % 2)


def images_of_step(point: Point, step: int) -> list[np.ndarray]:
    """The images of a step's prompt, uint8 [side, side, 3]."""
    generator = np.random.default_rng((point.seed, step))
    shape = (point.side_pixels, point.side_pixels, 3)
    return [generator.integers(0, 256, shape, dtype=np.uint8) for _ in range(point.num_images)]


def rewards(completions: Sequence[str]) -> list[float]:
    """Something cheap that differs between completions, so that advantages are not all zero."""
    return [len(set(text)) / 100 for text in completions]


def write_model(folder: Path, point: Point) -> None:
    """Random weights of a Qwen3-VL with grouped keys, and its processor, for images of this size."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from grpo.sizes import write_processor_and_config

    texts = [question(0), question(1)] * 2
    write_processor_and_config(folder, texts, point.size, image_pixels=point.side_pixels, seed=point.seed)
    torch.manual_seed(point.seed)
    config = AutoConfig.from_pretrained(folder)
    AutoModelForImageTextToText.from_config(config, dtype=getattr(torch, point.dtype)).save_pretrained(folder)


def end_logit(vocabulary: int, point: Point) -> float:
    """What to add to the logit of the end of turn so that random weights draw it once in ``mean_tokens``."""
    return math.log(vocabulary / point.mean_tokens) if point.mean_tokens else -math.inf
