"""Whether a policy answers from what it sees: the same questions with frames that are blank, swapped or reversed.

A policy that has learnt to guess from texts keeps its accuracy when the frames are taken away. Here each prompt is
answered again with other frames in the same places; the drop in accuracy is paired by prompt.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from remot.evaluation.benchmark import EvaluationSettings, answer_batch
from remot.evaluation.estimates import interval
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.sampling import GREEDY
from remot.seeding import numpy_generator
from remot.structures import FloatArray, PromptBatch, Video

#: Changes of frames, by name.
CHANGES = ("blank", "swapped", "reversed")
#: Changes that take all that frames say about the question. Reversed ones hold the motion, backwards.
BLINDING = ("blank", "swapped")
#: Fewest prompts from which a policy is called blind.
MIN_PROMPTS = 16
#: Resamples behind an interval.
_NUM_RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class PromptAccuracy:
    """How often P prompts are answered right, with their own frames and with others.

    Args:
        right: For ``seen`` and each name of :data:`CHANGES` [P] shares of right letters.
        logprobs: For the same names [P] mean log-probability of a token of the right response.
        chance: [P] share of right letters by guessing.
    """

    right: Mapping[str, FloatArray]
    logprobs: Mapping[str, FloatArray]
    chance: FloatArray

    @classmethod
    def joined(cls, parts: Sequence["PromptAccuracy"]) -> "PromptAccuracy":
        """Those of several batches, one after another."""
        return cls(
            {name: np.concatenate([part.right[name] for part in parts]) for name in ("seen", *CHANGES)},
            {name: np.concatenate([part.logprobs[name] for part in parts]) for name in ("seen", *CHANGES)},
            np.concatenate([part.chance for part in parts]),
        )

    def metrics(self) -> dict[str, float]:
        """Accuracy with the prompts' own frames, and the drops in accuracy and log-probability with others."""
        metrics = {"accuracy": _mean(self.right["seen"]), "chance": _mean(self.chance)}
        for name in CHANGES:
            metrics[f"drop_{name}"] = _mean(self.right["seen"] - self.right[name])
            metrics[f"logprob_drop_{name}"] = _mean(self.logprobs["seen"] - self.logprobs[name])
        return metrics

    @property
    def is_blind(self) -> bool:
        """True if the policy beats chance, and answers blank and swapped frames as well as its own.

        Both by 95 % intervals over prompts: a policy that cannot answer yet is not blind, and few prompts prove
        nothing.
        """
        if len(self.chance) < MIN_PROMPTS or not _is_positive(self.right["seen"] - self.chance):
            return False
        return not any(_is_positive(self.right["seen"] - self.right[name]) for name in BLINDING)


def measure_vision_use(
    policy: VLMPolicy,
    batch: PromptBatch,
    settings: EvaluationSettings,
    engine: RolloutEngine | None = None,
    prompts_together: int = 8,
) -> PromptAccuracy:
    """Answer P prompts greedily with their own and with changed frames.

    Args:
        policy: What is measured.
        batch: Prompts with letters, see :func:`lettered`; at least 2.
        settings: Budget of new tokens.
        engine: What decodes.
        prompts_together: Prompts of one pass.
    """
    settings = replace(settings, turns=None)  # an environment would show the frames that were not changed
    right, logprobs = {}, {}
    for name in ("seen", *CHANGES):
        changed = batch if name == "seen" else changed_frames(batch, name)
        rows = range(len(batch))
        parts = [_selected(changed, rows[start : start + prompts_together]) for start in rows[::prompts_together]]
        judged = [one for part in parts for one in answer_batch(policy, part, settings, GREEDY, engine).judged]
        right[name] = np.array([one.partial for one in judged])
        logprobs[name] = np.concatenate([_response_logprobs(policy, part) for part in parts])
    chance = [float(np.mean([1 / len(slot.options) for slot in question.slots])) for question in batch.questions]
    return PromptAccuracy(right, logprobs, np.array(chance))


def lettered(batch: PromptBatch) -> PromptBatch:
    """The prompts that ask for letters, in groups of at least two that show as many frames each.

    Frames are swapped within such a group: a prompt's text refers to its frames by their number.
    """
    shapes: dict[tuple[object, ...], list[int]] = {}
    for row, question in enumerate(batch.questions):
        if question.slots and not question.asks_numbers and not question.target:
            shapes.setdefault(_num_frames(batch, row), []).append(row)
    rows = sorted(row for group in shapes.values() if len(group) > 1 for row in group)
    return _selected(batch, rows)


def changed_frames(batch: PromptBatch, name: str) -> PromptBatch:
    """The same questions with other frames.

    Args:
        batch: As :func:`lettered` gives it.
        name: ``blank`` for grey frames of the same sizes, ``swapped`` for those of the next prompt with as many,
            ``reversed`` for the prompt's own from the last to the first.
    """
    if name == "blank":
        images = [[_blank(image) for image in shown] for shown in batch.images]
        videos = [[Video(_blank(one.frames), one.pts_seconds) for one in shown] for shown in batch.videos]
    elif name == "reversed":
        images = [list(shown)[::-1] for shown in batch.images]
        videos = [[Video(one.frames.flip(0), one.pts_seconds) for one in shown] for shown in batch.videos]
    else:
        sources = _next_of_same_shape(batch)
        images = [list(batch.images[source]) for source in sources]
        videos = [list(batch.videos[source]) for source in sources]
    return PromptBatch(images, batch.questions, batch.clip_ids, videos)


def _blank(frames: Tensor) -> Tensor:
    """Grey frames of the same size."""
    return torch.full_like(frames, 128)


def _num_frames(batch: PromptBatch, row: int) -> tuple[object, ...]:
    return len(batch.images[row]), tuple(video.pts_seconds for video in batch.videos[row])


def _next_of_same_shape(batch: PromptBatch) -> list[int]:
    """For each prompt the next one of another scene that shows as many frames, else the next one that does."""
    rows = range(len(batch))
    sources = []
    for row in rows:
        others = [(row + step) % len(batch) for step in rows[1:]]
        alike = [other for other in others if _num_frames(batch, other) == _num_frames(batch, row)]
        scene = batch.questions[row].scene_id
        sources.append(next((one for one in alike if batch.questions[one].scene_id != scene), alike[0]))
    return sources


def _selected(batch: PromptBatch, rows: Sequence[int]) -> PromptBatch:
    held = (batch.images, batch.questions, batch.clip_ids, batch.videos)
    return PromptBatch(*([one[row] for row in rows] for one in held))  # type: ignore[arg-type]


def _response_logprobs(policy: VLMPolicy, batch: PromptBatch) -> FloatArray:
    """[P] mean log-probability of the tokens of each prompt's right response."""
    tokenised = [policy.texts.tokens_of_response(question.response)[0] for question in batch.questions]
    token_ids = torch.full((len(tokenised), 1, max(map(len, tokenised))), policy.pad_token_id)  # [P, 1, T]
    mask = torch.zeros_like(token_ids, dtype=torch.bool)  # [P, 1, T]
    for row, ids in enumerate(tokenised):
        token_ids[row, 0, : len(ids)] = torch.tensor(ids)
        mask[row, 0, : len(ids)] = True
    with torch.no_grad():
        encoded = policy.encode(policy.process(batch))
        logprobs = policy.completion_logprobs(encoded, token_ids.to(policy.device)).cpu()  # [P, 1, T]
    means = torch.where(mask, logprobs, 0.0).sum((1, 2)) / mask.sum((1, 2))  # [P]
    return means.double().numpy()


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _is_positive(values: FloatArray) -> bool:
    """Whether the 95 % bootstrap interval of the mean over prompts lies above 0."""
    generator = numpy_generator(0, "vision use")
    means = values[generator.integers(len(values), size=(_NUM_RESAMPLES, len(values)))].mean(1)  # [R]
    return interval(float(values.mean()), means, len(values)).low > 0
