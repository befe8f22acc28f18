"""A model of lmms-eval that answers as ``remot evaluate`` does: any folder or adapters that this library loads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from remot.data.media.images import read_image
from remot.data.media.spans import VideoSpan, read_span
from remot.evaluation.benchmarks.harness.results import recorded_key
from remot.evaluation.benchmarks.replies import ReplyStore
from remot.evaluation.benchmarks.responders import AnswerSettings, LocalResponder
from remot.models.loading import ModelSource, Precision
from remot.models.policy import VLMPolicy
from remot.rollout.sampling import SamplingSettings
from remot.structures import PromptBatch, Question, Video

try:
    from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
    from lmms_eval.api.model import lmms
except ImportError:  # lmms-eval imports this module; others only look at it
    GenerationResult = Instance = TokenCounts = lmms = object

#: Gives the messages of a row of a task.
Messages = Callable[[Any], Any]


class RemotModel(lmms):  # type: ignore[misc]  # lmms-eval is not typed
    """Images first, then videos, then the text, whatever order the task's messages have.

    Args:
        pretrained: A model or adapters.
        device: Where the weights are put; a GPU if there is one.
        dtype: Their precision.
        max_pixels: Largest image area; the model's own if None.
        num_frames: Frames shown of a video file at most.
        batch_size: Prompts answered together, in the order of the task.
        seed: Names the noise of sampling.
        record: File to which lengths and cut-offs are appended, of which lmms-eval keeps none with cached replies.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        device: str | None = None,
        dtype: Precision = "float32",
        max_pixels: int | None = None,
        num_frames: int = 32,
        batch_size: int = 1,
        seed: int = 0,
        record: str | None = None,
        **_: object,
    ) -> None:
        super().__init__()
        source = ModelSource(str(pretrained), dtype=dtype, max_pixels=max_pixels)
        where = "cpu" if not torch.cuda.is_available() else "cuda" if device in (None, "auto") else str(device)
        self._responder = LocalResponder(
            source.base, {}, lambda: VLMPolicy(source, with_reference=False, is_trained=False).to(where)
        )
        self._record = None if record is None else ReplyStore(Path(str(record)))
        self._num_frames, self._batch_size, self._seed = int(num_frames), int(batch_size), int(seed)

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """One reply for each request; those of one batch share the arguments of generation."""
        found: list[GenerationResult] = []
        asked = [request.args for request in requests]
        for start in range(0, len(asked), self._batch_size):
            batch = asked[start : start + self._batch_size]
            if any(one[2] != batch[0][2] for one in batch):
                found += [reply for one in batch for reply in self._answered([one])]
            else:
                found += self._answered(batch)
        return found

    def _answered(self, batch: Sequence[tuple[Any, ...]]) -> list[GenerationResult]:
        shown = [self._prompt(*request) for request in batch]
        questions = [Question(name, text, (), "lmms-eval", name) for name, text, _, _ in shown]
        prompts = PromptBatch(
            [images for _, _, images, _ in shown],
            questions,
            [question.scene_id for question in questions],
            [videos for _, _, _, videos in shown],
        )
        generation = batch[0][2]
        temperature = float(generation.get("temperature") or 0.0) if generation.get("do_sample", True) else 0.0
        top_k, top_p = int(generation.get("top_k") or 0), float(generation.get("top_p") or 1.0)
        sampling, budget = SamplingSettings(temperature, top_k, top_p), int(generation.get("max_new_tokens") or 128)
        replies = self._responder.answer(prompts, AnswerSettings(sampling, budget, self._seed))
        stops = generation.get("until")
        stops = [stops] if isinstance(stops, str) else stops if isinstance(stops, list) else []
        found = []
        for question, reply in zip(questions, replies, strict=True):
            text = reply.text
            for stop in filter(None, stops):  # a task ends a reply before the first of these strings
                text = text.partition(stop)[0]
            found.append(GenerationResult(text=text, token_counts=TokenCounts(output_tokens=reply.num_tokens)))
            if self._record is not None:
                kept = replace(reply, text=text, cut_off=reply.cut_off and text == reply.text)
                self._record.add([recorded_key(question.prompt_id, text)], [question.prompt_id], [kept])
        return found

    def _prompt(
        self, _: str, doc_to_messages: Messages, __: object, doc_id: int, task: str, split: str
    ) -> tuple[str, str, list[torch.Tensor], list[Video]]:
        doc = self.task_dict[task][split][doc_id]
        texts, images, videos = [], [], []
        for message in doc_to_messages(doc):
            for part in message["content"]:
                if part["type"] == "text":
                    texts.append(part["text"])
                elif part["type"] == "image":
                    images.append(_image(part["url"]))
                elif part["type"] == "video":
                    videos.append(self._video(part, doc))
        return f"{task}/{doc_id}", "\n".join(texts), images, videos

    def _video(self, part: Mapping[str, Any], doc: Mapping[str, Any]) -> Video:
        """Frames of a file, evenly spread; or a list of frames, at the times that the row names or one a second."""
        url = part["url"]
        if isinstance(url, str | Path):
            return read_span(VideoSpan(Path(url), self._num_frames, part.get("start_time"), part.get("end_time")))
        frames = [_image(frame) for frame in url]
        seconds = doc.get("image_seconds") or range(len(frames))
        return Video(torch.stack(frames), tuple(float(second) for second in seconds))

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Not offered: tasks of log-likelihoods need lmms-eval's own classes."""
        raise NotImplementedError

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Not offered: tasks of several rounds need lmms-eval's own classes."""
        raise NotImplementedError


def _image(value: Any) -> torch.Tensor:  # noqa: ANN401 (a path or an image of Pillow)
    """An image [3, H, W] uint8."""
    if isinstance(value, str | Path):
        return read_image(Path(value))
    return torch.from_numpy(np.array(value.convert("RGB"))).permute(2, 0, 1)
