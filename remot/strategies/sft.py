"""The supervised objective: the likelihood of the right answer, or of the whole response told from the annotations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from remot.answers import answer_char_span, letter_char_spans, render_response
from remot.errors import ConfigError
from remot.losses import sft_loss
from remot.models.encoding import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.seeding import numpy_generator
from remot.strategies.objective import Objective, PreparedStep, StepAddress, micro_slices
from remot.structures import LossOutput, PromptBatch, Question


@dataclass(frozen=True)
class SFTObjective(Objective):
    """Supervised fine-tuning on responses rendered from the annotations.

    Args:
        loss_on: ``answer`` takes the loss on the letters inside ``<answer>`` only (ReMoT), ``response`` on the
            reasoning, the tags and the end of turn too, ``both`` adds to that the mean over all option letters, those
            that stand alone in the reasoning too, so that a long reasoning does not drown the few letters.
        answer_noise: Share of letters replaced by one drawn uniformly from the question's. Above 0 only to make a
            base model that sees well and answers unsurely, such as remot-tiny.
        answer_noise_from_step: First optimiser step with noise: a model learns the task sooner without.
    """

    loss_on: Literal["answer", "response", "both"] = "answer"
    answer_noise: float = 0.0
    answer_noise_from_step: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.answer_noise <= 1:
            msg = f"sft.answer_noise is a share in [0, 1], got {self.answer_noise}"
            raise ConfigError(msg)

    @property
    def needs_reference(self) -> bool:
        """Supervision has no KL term."""
        return False

    def prepare(
        self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress, micro_batch_prompts: int
    ) -> PreparedStep:
        """Render and tokenise the responses and encode the pictures."""
        responses = [self.response(question, address) for question in batch.questions]
        token_ids, *masks = self.targets(policy, responses)
        prompts = policy.process(batch)
        encoded = None if policy.train_vision else policy.encode(prompts)
        terms = [(mask, float(mask.sum())) for mask in masks]

        def micro_losses() -> Iterator[LossOutput]:
            for rows in micro_slices(len(batch), micro_batch_prompts):
                part = encoded.select(rows) if encoded is not None else policy.encode(prompts.select(rows))
                yield self._loss(policy, part, token_ids[rows], [(mask[rows], count) for mask, count in terms])

        return PreparedStep(num_updates=1, micro_losses=micro_losses)

    def response(self, question: Question, address: StepAddress) -> str:
        """The response to learn, with noise on its letters if asked for."""
        letters = question.solution
        if self.answer_noise > 0 and address.step >= self.answer_noise_from_step:
            noise = numpy_generator(address.seed, "answer_noise", address.step, question.prompt_id)
            letters = "".join(
                "ABCDEFGH"[noise.integers(len(slot.options))] if noise.random() < self.answer_noise else slot.gold
                for slot in question.slots
            )
        return render_response(question.reasoning, letters)

    def targets(self, policy: VLMPolicy, responses: Sequence[str]) -> tuple[Tensor, ...]:
        """Token ids [P, 1, T] and a target mask [P, 1, T] for each term of the loss.

        Answer tokens are found by the characters they cover, never by tokenising the pieces apart: a tokenizer may
        glue a tag's last symbol to the first letter.
        """
        tokenised = [policy.tokenize_response(response) for response in responses]
        longest = max(len(ids) for ids, _ in tokenised)
        token_ids = torch.full((len(responses), 1, longest), policy.pad_token_id)
        on_answer, on_letters, on_response = torch.zeros(3, *token_ids.shape, dtype=torch.bool)
        for row, (response, (ids, offsets)) in enumerate(zip(responses, tokenised, strict=True)):
            token_ids[row, 0, : len(ids)] = torch.tensor(ids)
            spans = [answer_char_span(response)]
            on_answer[row, 0, : len(ids)] = _tokens_over(spans, offsets)
            on_letters[row, 0, : len(ids)] = _tokens_over([*spans, *letter_char_spans(response)], offsets)
            on_response[row, 0, : len(ids)] = True
        masks = {"answer": [on_answer], "response": [on_response], "both": [on_letters, on_response]}[self.loss_on]
        return (token_ids.to(policy.device), *(mask.to(policy.device) for mask in masks))

    @staticmethod
    def _loss(
        policy: VLMPolicy, encoded: EncodedPrompts, token_ids: Tensor, terms: Sequence[tuple[Tensor, float]]
    ) -> LossOutput:
        logprobs = policy.completion_logprobs(encoded, token_ids)
        outputs = [sft_loss(logprobs, mask, normalizer=count) for mask, count in terms]
        loss = torch.stack([output.loss for output in outputs]).sum()
        return LossOutput(loss=loss, metrics={"nll": outputs[0].metrics["nll"]})


def _tokens_over(spans: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> Tensor:
    """[T] bool, True for the tokens that cover a character of any of the spans."""
    return torch.tensor([any(first < end and last > start for start, end in spans) for first, last in offsets])
