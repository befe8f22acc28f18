"""Small random policies of both families, and prompts with random images, for every test that needs a model."""

import atexit
import copy
import functools
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from remot.models import LoRA, ModelSource, VLMPolicy
from remot.models.tiny import MINIMAL_SIZES, write_model_folder
from remot.structures import PromptBatch, Video
from tests.helpers import make_question

#: Images of 4 x 4 visual tokens of 16 x 16 pixels.
SIZES = replace(MINIMAL_SIZES, patch_pixels=8, image_pixels=64)
FAMILIES = ("qwen3_vl", "qwen2_5_vl")
#: Families that are sampled as those are: the one before, and the one with experts.
SAMPLED = (*FAMILIES, "qwen2_vl", "qwen3_vl_moe")
#: A model of a layer of linear attention and one of full attention, built as Qwen3.5 is; and the one with experts.
HYBRID, HYBRID_MIXTURE = "qwen3_5", "qwen3_5_moe"

#: Questions of different lengths; the first ones are the user's side of what the quickstart asks.
WORDINGS = (
    "From picture 1 to picture 2, which way did the camera turn? A: right B: left C: none",
    "Which way?",
    "Compare picture 1 and picture 3. Did the gripper move up, down, or not at all? Answer with one letter.",
    "From picture 2 to picture 3, did the object move? A: right B: left C: none. Answer in order.",
)
REASONING = "1: left 2: right 3: none"
TEXTS = tuple(
    text for wording in WORDINGS for text in (wording, f"<think>{REASONING}</think><answer>ABC</answer>")
)  # fmt: skip

#: As Qwen3-VL-Thinking's: the assistant's turn begins inside a think element.
THINKING_PROMPT = "<|im_start|>assistant\n<think>\n"

_LOADED = {}


@functools.cache
def _session_folder():
    folder = Path(tempfile.mkdtemp(prefix="remot-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def randomise_(parameters, std=0.2, seed=0):
    """Weights so large that attention is sharp: with the usual 0.02 a wrong mask or position would hardly show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters:
            centre = 0.0 if parameter.ndim > 1 else parameter
            parameter.copy_(centre + std * torch.randn(parameter.shape, generator=generator))


@functools.cache
def model_folder(family="qwen3_vl", seed=0):
    """Weights and processor of a random model, written once a test session. Read only: copy it to change it."""
    from transformers import AutoModelForImageTextToText

    folder = _session_folder() / f"{family}-{seed}"
    from tests.tiny_families import BUILDERS, write_family

    if family == HYBRID:
        _write_hybrid(folder, seed)
    elif family in BUILDERS:
        write_family(folder, family, seed)
    else:
        write_model_folder(folder, TEXTS, family=family, sizes=SIZES, seed=seed)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    randomise_(model.parameters(), seed=seed)
    model.save_pretrained(folder)
    return folder


def _write_hybrid(folder, seed):
    """Sizes and processor of the small Qwen3-VL; two value heads share a key head."""
    from transformers import AutoModelForImageTextToText, GenerationConfig, Qwen3_5Config

    shutil.copytree(model_folder(), folder)
    held = json.loads((folder / "config.json").read_text())
    text, vision = dict(held["text_config"]), dict(held["vision_config"])
    for part in (text, vision):
        del part["model_type"]
    del vision["deepstack_visual_indexes"]
    text |= {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 1,
        "linear_num_value_heads": 2,
        "rope_parameters": text["rope_parameters"] | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5},
    }
    tokens = {name: number for name, number in held.items() if name.endswith("_token_id")}
    config = Qwen3_5Config(text_config=text, vision_config=vision, tie_word_embeddings=True, **tokens)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config)
    model.generation_config = GenerationConfig.from_pretrained(folder)
    model.save_pretrained(folder)


@functools.cache
def thinking_folder():
    """The same model with a chat template that opens the think element."""
    folder = _session_folder() / "thinking"
    shutil.copytree(model_folder(), folder)
    template = folder / "chat_template.jinja"
    plain = template.read_text()
    opened = plain.replace("<|im_start|>assistant\n", THINKING_PROMPT)
    assert opened != plain
    template.write_text(opened)
    return folder


def make_policy(family="qwen3_vl", adaptation=None, *, dtype="float32", attention="auto", **settings):
    """A policy of random weights; adapters begin, always the same ones, with an update of zero.

    Loaded once for each kind and copied, which takes a third of the time. Prompts are shared unless told otherwise, so
    that no comparison with the plain computation comes before what is tested.
    """
    settings = {"prefix_sharing": "on"} | settings
    source = ModelSource(str(model_folder(family)), dtype=dtype, attention=attention)
    key = (
        source,
        type(adaptation),
        *sorted((vars(adaptation) if adaptation else {}).items()),
        *sorted(settings.items()),
    )
    if key not in _LOADED:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            _LOADED[key] = VLMPolicy(source, adaptation, **settings)
    return copy.deepcopy(_LOADED[key])


def make_lora_policy(family="qwen3_vl", *, seed=1, **settings):
    """A policy whose adapters already change what it computes."""
    policy = make_policy(family, LoRA(rank=3, alpha=6.0), **settings)
    randomise_((p for name, p in policy.named_parameters() if "lora_B" in name), seed=seed)
    return policy


def make_batch(num_prompts=3, seed=0, solution="ABB"):
    """Prompts of different lengths, with 2 or 3 images of different shapes."""
    generator = torch.Generator().manual_seed(seed)
    images, questions = [], []
    for row in range(num_prompts):
        sizes = [(64, 64), (32, 128), (96, 48)][: 2 + (row + seed) % 2]
        images.append([torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for size in sizes])
        question = make_question(solution, prompt_id=f"{seed}-{row}")
        questions.append(replace(question, text=WORDINGS[(row + seed) % len(WORDINGS)], reasoning=REASONING))
    return PromptBatch(images, questions, [f"clip-{row}" for row in range(num_prompts)])


def make_video(num_frames, size=(64, 64), seed=0, tenths=None):
    """Random frames; their times are ``tenths`` of a second, a half apart unless told."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (num_frames, 3, *size), generator=generator, dtype=torch.uint8)
    tenths = range(0, 5 * num_frames, 5) if tenths is None else tenths
    return Video(frames, tuple(tenth / 10 for tenth in tenths))


def make_mixed_batch(seed=0):
    """Prompts of images of two sizes and an odd video at uneven times, images only, two videos only, words only."""
    batch = make_batch(4, seed=seed)
    batch.images = [batch.images[0][:2], batch.images[1], [], []]
    batch.videos = [
        [make_video(5, (64, 64), seed=seed + 1, tenths=(0, 11, 30, 44, 80))],
        [],
        [make_video(4, (96, 48), seed=seed + 2, tenths=(3, 13, 23, 33)), make_video(2, (64, 64), seed=seed + 3)],
        [],
    ]
    return batch


def select(batch, rows):
    """Some prompts of a batch."""
    parts = (batch.images, batch.questions, batch.clip_ids, batch.videos)
    return PromptBatch(*([part[row] for row in rows] for part in parts))


def random_completions(policy, num_prompts, num_completions, num_tokens, seed=0):
    """Token ids [P, G, T] that may be sampled, and a mask [P, G, T] of completions of different lengths, none empty.

    Both are on the processor. What is masked is the padding token.
    """
    generator = torch.Generator().manual_seed(seed)
    allowed = policy.logit_bias.cpu().isfinite().nonzero()[:, 0]
    shape = (num_prompts, num_completions, num_tokens)
    ids = allowed[torch.randint(len(allowed), shape, generator=generator)]
    lengths = torch.randint(1, num_tokens + 1, shape[:2], generator=generator)
    lengths.view(-1)[0] = num_tokens
    mask = torch.arange(num_tokens) < lengths[..., None]
    return ids.masked_fill(~mask, policy.pad_token_id), mask


def encode(policy, batch):
    """Processed and encoded prompts."""
    return policy.encode(policy.process(batch))


def snapshot(policy):
    """Copies of all parameters by name."""
    return {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}


def moved(policy, before):
    """Names of the parameters that differ from a snapshot."""
    return {name for name, parameter in policy.named_parameters() if not torch.equal(parameter, before[name])}
