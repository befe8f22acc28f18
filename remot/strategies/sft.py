"""The supervised objective: the likelihood of the right answer, or of the whole response that the annotations give."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from remot.answers import ANSWER_OPEN, answer_char_spans, letter_char_spans
from remot.distributed import mean_over_processes
from remot.environments import TurnSettings
from remot.errors import ConfigError
from remot.losses import sft_loss
from remot.models.inputs.conversations import joined_rows
from remot.models.inputs.prompts import EncodedPrompts, ProcessedPrompts
from remot.models.policy import VLMPolicy
from remot.models.tokenization import padded
from remot.rollout.sampling import RolloutAddress
from remot.rollout.turns import demonstrated
from remot.seeding import numpy_generator
from remot.strategies.objective import (
    MicroBatchPrompts,
    Objective,
    PreparedStep,
    StepAddress,
    clips_of,
    micro_slices,
    planned_micro_batch,
    require_whole_weights,
)
from remot.structures import LossOutput, PromptBatch, Question, task_of


@dataclass(frozen=True)
class SFTObjective(Objective):
    """Supervised fine-tuning on responses rendered from the annotations.

    Args:
        loss_on: ``answer`` takes the loss on what stands inside ``<answer>`` only (ReMoT), and inside a ``<glue>``
            after it; ``response`` on the reasoning, the tags and the end of turn too.
        letter_weight: Adds this many times the mean over all option letters of the response, those that stand alone in
            the reasoning too, so that a long reasoning does not drown the few letters.
        weigh_by_probability: Multiply the loss of each token by its probability, held constant (DFT, arXiv 2508.05629).
        answer_noise: Share of letters replaced by one drawn uniformly from the question's. Above 0 only to make a
            base model that perceives well and answers with low confidence, such as remot-tiny.
        answer_bias: Share of letters replaced by ``A``: the position bias of large models (arXiv 2309.03882). For the
            same purpose; with it greedy answers are wrong too.
        turns: An environment whose demonstrations are learnt, its requests in full, whatever ``loss_on`` is; None for
            the right response at once.
    """

    loss_on: Literal["answer", "response"] = "answer"
    letter_weight: float = 0.0
    weigh_by_probability: bool = False
    answer_noise: float = 0.0
    answer_bias: float = 0.0
    turns: TurnSettings | None = None

    needs_reference = False  # supervision has no KL term

    def __post_init__(self) -> None:
        shares = (self.answer_noise, self.answer_bias)
        if not (all(0 <= share <= 1 for share in shares) and sum(shares) <= 1):
            msg = f"sft.answer_noise and sft.answer_bias are shares that sum to at most 1, got {shares}"
            raise ConfigError(msg)
        if not 0 <= self.letter_weight < math.inf:
            msg = f"sft.letter_weight is a finite number from 0, got {self.letter_weight}"
            raise ConfigError(msg)
        if self.turns is not None and sum(shares) > 0:
            msg = "sft.turns learns demonstrations as they are; leave answer_noise and answer_bias out"
            raise ConfigError(msg)

    def prepare(
        self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress, micro_batch_prompts: MicroBatchPrompts
    ) -> PreparedStep:
        """Render and tokenise the responses and encode the images."""
        prompts, encoded, responses, names = self.examples(policy, batch, address)
        token_ids, mask, on_letters = self.targets(policy, responses)
        num_targets, num_letters = (mean_over_processes(float(m.sum()), policy.device) for m in (mask, on_letters))
        shape = (len(prompts), prompts.input_ids.shape[1], 1, token_ids.shape[-1])
        size = planned_micro_batch(policy, micro_batch_prompts, shape)

        def micro_losses(micro_batch_prompts: int | None = None) -> Iterator[LossOutput]:
            for rows in micro_slices(len(prompts), micro_batch_prompts or size):
                part = encoded.select(rows) if encoded is not None else policy.encode(prompts.select(rows))
                logprobs = policy.completion_logprobs(part, token_ids[rows], (mask | on_letters)[rows])
                weigh = self.weigh_by_probability
                output = sft_loss(logprobs, mask[rows], normalizer=num_targets, weigh_by_probability=weigh)
                if self.letter_weight > 0 and num_letters > 0:  # an environment's answers may hold none
                    letters = sft_loss(logprobs, on_letters[rows], normalizer=num_letters, weigh_by_probability=weigh)
                    output = replace(output, loss=output.loss + self.letter_weight * letters.loss)
                yield output

        return PreparedStep(
            num_updates=1,
            micro_losses=micro_losses,
            micro_batch_prompts=size,
            shape=shape,
            prompt_ids=names,
            num_micro_losses=lambda size: len(list(micro_slices(len(prompts), size))),
        )

    def examples(
        self, policy: VLMPolicy, batch: PromptBatch, address: StepAddress
    ) -> tuple[ProcessedPrompts, EncodedPrompts | None, list[str], tuple[str, ...]]:
        """Prompts, the same encoded unless the vision tower is trained, and a response and a name for each.

        Demonstrations have a prompt for each turn.
        """
        responses = [self.response(question, address) for question in batch.questions]
        names = tuple(question.prompt_id for question in batch.questions)
        if self.turns is None:
            prompts = policy.process(batch)
            return prompts, None if policy.train_vision else policy.encode(prompts), responses, names
        require_whole_weights(policy, "sft.turns")
        noise = RolloutAddress(address.seed, address.step, names)
        spoken = demonstrated(policy, batch, self.turns, clips_of(address.prompt_source), noise)
        encoded = joined_rows([turn.prompt for turn in spoken], policy.pad_token_id)
        responses, names = [turn.response for turn in spoken], tuple(turn.prompt_id for turn in spoken)
        return encoded.prompts, None if policy.train_vision else encoded, responses, names

    def response(self, question: Question, address: StepAddress) -> str:
        """The response to learn, with noise and bias on its letters if asked for; other answers are left as they are.

        Raises:
            ConfigError: If the annotations give no response.
        """
        if not question.response:
            msg = f"prompt {question.prompt_id} ({task_of(question)}) has no right answer to learn; train it by GRPO"
            raise ConfigError(msg)
        if self.answer_noise + self.answer_bias == 0 or question.asks_numbers or question.target:
            return question.response
        generator = numpy_generator(address.seed, "answer_noise", address.step, question.prompt_id)
        letters = ""
        for slot in question.slots:
            draw = generator.random()
            if draw < self.answer_noise:
                letters += slot.letters[generator.integers(len(slot.options))]
            else:
                letters += slot.letters[0] if draw < self.answer_noise + self.answer_bias else slot.gold
        return question.respond(letters)

    def targets(self, policy: VLMPolicy, responses: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids [P, 1, T], mask [P, 1, T] of the targets, and mask [P, 1, T] of all option letters.

        Answer tokens are found by the characters they cover, never by tokenising the pieces apart: a tokenizer may
        glue a tag's last symbol to the first letter.
        """
        tokenised = [policy.texts.tokens_of_response(response) for response in responses]
        token_ids, on_response = padded([[ids] for ids, _ in tokenised], policy.pad_token_id, policy.device)
        on_answer, on_letters = torch.zeros(2, *token_ids.shape, dtype=torch.bool)
        for row, (response, (ids, offsets)) in enumerate(zip(responses, tokenised, strict=True)):
            if ANSWER_OPEN not in response:  # a turn that asks, its end included
                on_answer[row, 0, : len(ids)] = True
                continue
            spans = answer_char_spans(response)
            on_answer[row, 0, : len(ids)] = _tokens_over(spans, offsets)
            on_letters[row, 0, : len(ids)] = _tokens_over([*spans, *letter_char_spans(response)], offsets)
        mask = on_answer.to(policy.device) if self.loss_on == "answer" else on_response
        return token_ids, mask, on_letters.to(policy.device)


def _tokens_over(spans: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> Tensor:
    """[T] bool, True for the tokens that cover a character of any of the spans."""
    return torch.tensor([any(first < end and last > start for start, end in spans) for first, last in offsets])
