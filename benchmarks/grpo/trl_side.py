"""The step of TRL: ``GRPOTrainer`` with transformers' ``generate``, its defaults wherever both sides need not agree."""

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from grpo.memory import STARTED
from grpo.meter import Meter
from grpo.point import (
    BETA,
    LEARNING_RATE,
    LORA_ALPHA,
    LORA_RANK,
    TRL_ROWS,
    Point,
    end_logit,
    images_of_step,
    question,
    rewards,
)

#: remot's own default; the regular expression is matched against whole names of modules.
LANGUAGE_TARGETS = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"


class Measuring(TrainerCallback):
    """Tells the meter when training begins, when a step ends, and its loss."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_train_begin(self, *_: object, **__: object) -> None:
        """The models are loaded; nothing has been run yet."""
        self.meter.start()

    def on_step_end(self, *_: object, **__: object) -> None:
        """One optimiser step is done."""
        self.meter.end_step()

    def on_log(self, *_: object, logs: dict[str, float] | None = None, **__: object) -> None:
        """Logged at every step."""
        if logs and "loss" in logs:
            self.meter.losses.append(float(logs["loss"]))


def run(point: Point, folder: Path) -> dict[str, Any]:
    """Measure some steps of TRL."""
    meter = Meter(folder.parent / STARTED)
    trainer = GRPOTrainer(
        model=AutoModelForImageTextToText.from_pretrained(folder, dtype=getattr(torch, point.dtype)),
        reward_funcs=shared_reward,
        args=_arguments(point, folder),
        train_dataset=_dataset(point),
        processing_class=AutoProcessor.from_pretrained(folder, padding_side="left", truncation_side="left"),
        peft_config=_adapters() if point.setting == "lora" else None,
        callbacks=[Measuring(meter)],
    )
    _instrument(trainer, meter)
    trainer.train()
    return meter.summary(point.num_images)


def shared_reward(completions: list[list[dict[str, str]]], **_: object) -> list[float]:
    """The reward both libraries use."""
    return rewards([messages[0]["content"] for messages in completions])


def _arguments(point: Point, folder: Path) -> GRPOConfig:
    rows = min(point.num_completions, TRL_ROWS)
    checkpointing = {} if point.checkpointing == "default" else {"gradient_checkpointing": point.checkpointing == "on"}
    return GRPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=point.num_completions // rows,
        num_generations=point.num_completions,
        max_completion_length=point.num_tokens,
        generation_kwargs=_ends(point, folder),
        beta=BETA,
        temperature=1.0,
        learning_rate=LEARNING_RATE,
        max_steps=point.num_steps,
        seed=point.seed,
        shuffle_dataset=False,
        bf16=point.dtype == "bfloat16",
        use_cpu=point.device == "cpu",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **checkpointing,
    )


def _ends(point: Point, folder: Path) -> dict[str, Any]:
    """No placeholders of images, and the end of a turn never or with the probability that remot draws it with."""
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    placeholders = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    suppressed = set(tokenizer.convert_tokens_to_ids(list(placeholders)))
    if not point.mean_tokens:
        return {"suppress_tokens": sorted(suppressed | {tokenizer.eos_token_id})}
    bias = end_logit(len(tokenizer), point)
    return {"suppress_tokens": sorted(suppressed), "sequence_bias": [[[tokenizer.eos_token_id], bias]]}


def _adapters() -> LoraConfig:
    return LoraConfig(r=LORA_RANK, lora_alpha=LORA_ALPHA, target_modules=LANGUAGE_TARGETS, task_type="CAUSAL_LM")


def _dataset(point: Point) -> Dataset:
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": question(step)}],
                "images": [Image.fromarray(image) for image in images_of_step(point, step)],
            }
            for step in range(point.num_steps)
        ]
    )


def _instrument(trainer: GRPOTrainer, meter: Meter) -> None:
    """Time the phases by wrapping the methods that are one; the shapes of TRL 1.16."""
    core = trainer.model.get_base_model() if hasattr(trainer.model, "get_base_model") else trainer.model
    models = [model for model in (core, trainer.ref_model) if model is not None]
    meter.count_images([model.model.visual for model in models], trainer.processing_class.image_processor)
    trainer._generate = meter.timed("rollout", trainer._generate)
    trainer._get_per_token_logps_and_entropies = meter.timed(_scoring, trainer._get_per_token_logps_and_entropies)
    trainer.accelerator.backward = meter.timed("policy", trainer.accelerator.backward)


def _scoring(*_: object, **__: object) -> str:
    return "policy" if torch.is_grad_enabled() else "reference"
