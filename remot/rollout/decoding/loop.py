"""The decode loop: one more token for all completions, until all have ended.

Completions stand in a grid of U rows, one for each prompt that still has any, with C places. Every ``check_every``
tokens the loop tests which have ended. Those are drawn no longer, and leave the grid where that costs less than it
saves. Each :class:`Decoder` draws the first token from the prompt's last hidden state when it is made.

Notation: U rows with C places each, B = U*C completions at the start, T tokens of the longest completion, H hidden
size.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from remot.rollout.sampling import SamplingSettings, draw

if TYPE_CHECKING:
    from remot.models.inputs.prompts import EncodedPrompts
    from remot.models.policy import VLMPolicy


@dataclass(frozen=True)
class DecodeRequest:
    """What a decode loop needs besides policy and prompts."""

    uniforms: Tensor  # [U, C, T] float64 noise in [0, 1), a number for each token
    sampling: SamplingSettings
    check_every: int  # tokens between two stop checks


class DecodeState:
    """Tokens and log-probabilities of all completions, and which of them are still drawn.

    :meth:`draw` changes tensors in place, reads none on the host and makes none whose shape depends on a number, so it
    can be part of a CUDA graph.
    """

    def __init__(self, policy: "VLMPolicy", request: DecodeRequest) -> None:
        self.policy = policy
        self.sampling = request.sampling
        device, self._shape = policy.device, request.uniforms.shape
        self.uniforms = request.uniforms.to(device).flatten(0, 1)  # [B, T]
        self.tokens = torch.full(self.uniforms.shape, policy.pad_token_id, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(self.uniforms.shape, dtype=torch.float32, device=device)
        self.finished = torch.zeros(len(self.uniforms), dtype=torch.bool, device=device)
        self.latest = torch.zeros(self._shape[:2], dtype=torch.long, device=device)  # of the grid
        self.column = torch.zeros(1, dtype=torch.long, device=device)
        self.eos = torch.tensor(policy.eos_token_ids, device=device)
        #: Of the completions that are drawn: their numbers among the B, their places in the grid, and their noise.
        self.drawn = torch.arange(len(self.uniforms), device=device)
        self.places = self.drawn
        self.noise = self.uniforms

    def draw(self, hidden: Tensor) -> None:
        """Draw the next token of each completion from the grid's hidden states [U, C, H]; ended ones get padding."""
        logits = self.policy.logits(hidden.flatten(0, 1).index_select(0, self.places))
        tokens, logprobs = draw(logits, self.noise.index_select(-1, self.column)[:, 0], self.sampling)
        has_ended = self.finished.index_select(0, self.drawn)
        tokens = tokens.masked_fill(has_ended, self.policy.pad_token_id)
        self.latest.view(-1).index_copy_(0, self.places, tokens)
        self.tokens.index_put_((self.drawn, self.column), tokens)
        self.logprobs.index_put_((self.drawn, self.column), logprobs.masked_fill(has_ended, 0.0))
        has_ended |= (tokens[:, None] == self.eos).any(-1)
        self.finished.index_copy_(0, self.drawn, has_ended)
        self.column.add_(1)

    def living(self) -> list[int]:
        """Which of the completions that are drawn have not ended, by their order; the host waits for the device."""
        ended = self.finished.index_select(0, self.drawn).tolist()
        return [number for number, has_ended in enumerate(ended) if not has_ended]

    def keep(self, living: list[int]) -> None:
        """Draw these of the completions that are drawn only."""
        index = torch.tensor(living, device=self.tokens.device)
        self.drawn, self.places = self.drawn[index], self.places[index]
        self.noise = self.uniforms[self.drawn]

    def move(self, slots: Tensor, places: Sequence[int]) -> None:
        """Follow a change of the grid: places ``slots`` [U', C'] stay, and those drawn are at ``places`` among them."""
        self.latest = self.latest.view(-1)[slots]
        self.places = torch.tensor(places, device=slots.device)

    def result(self) -> tuple[Tensor, Tensor]:
        """Tokens [U, C, T'] and log-probabilities [U, C, T'], T' the longest completion's length.

        What was drawn after every completion had ended is cut off: it depends on the interval of the stop checks.
        """
        is_end = (self.tokens[..., None] == self.eos).any(-1)
        has_ended_before = is_end.cumsum(-1) - is_end.long() > 0
        num_drawn = int(self.column)
        longest = int((~has_ended_before[..., :num_drawn]).sum(-1).amax())
        tokens, logprobs = (part.view(self._shape)[..., :longest] for part in (self.tokens, self.logprobs))
        return tokens, logprobs


class Decoder(ABC):
    """Feeds the latest tokens of ``state`` to the model and draws the next ones; the first are drawn already."""

    #: Completions that have ended are drawn no longer, whether they leave the grid or not.
    drops_at_once = True

    def __init__(self, policy: "VLMPolicy", request: DecodeRequest, position: Tensor) -> None:
        self.policy = policy
        self.state = DecodeState(policy, request)
        self.num_rows, self.num_places = request.uniforms.shape[:2]  # of the grid
        self.position = position  # [U] rotary position of the next token
        self._places = list(range(self.num_rows * self.num_places))  # of the completions that are drawn

    @abstractmethod
    def step(self) -> None:
        """One more token for every completion."""

    @abstractmethod
    def _select(self, slots: Tensor) -> None:
        """Leave all places but ``slots`` [U', C'] out of the grid, each named by row * C + column."""

    def is_worthwhile(self, num_kept: int, num_steps: int) -> bool:
        """Whether to continue with fewer places for the remaining steps.

        What stays is copied once, which takes about as long as a step; a step is shorter by what has left.
        """
        return (self.num_rows * self.num_places - num_kept) * num_steps > num_kept

    def leave(self, num_steps: int) -> bool:
        """Let completions that have ended leave before ``num_steps`` more; False if none goes on."""
        living = self.state.living()
        if not living or len(living) == len(self._places):
            return bool(living)
        places = [self._places[number] for number in living]
        slots = compacted(places, self.num_places)
        leaves = self.is_worthwhile(len(slots) * len(slots[0]), num_steps)
        if leaves or self.drops_at_once:
            self._places = places
            self.state.keep(living)
        if leaves:
            self._move(slots)
        return True

    def _move(self, slots: list[list[int]]) -> None:
        new_places = {place: number for number, place in enumerate(place for row in slots for place in row)}
        index = torch.tensor(slots, device=self.position.device)
        self._select(index)
        self.position = self.position[index[:, 0] // self.num_places]
        self._places = [new_places[place] for place in self._places]
        self.state.move(index, self._places)
        self.num_rows, self.num_places = index.shape


def compacted(places: Sequence[int], num_places: int) -> list[list[int]]:
    """Rows of the smallest grid that holds these places, of rows with ``num_places``.

    Rows without any leave; where a row has fewer than the longest, places of it that are not asked for fill it up.
    """
    rows = defaultdict(list)
    for place in places:
        rows[place // num_places].append(place)
    longest = max(map(len, rows.values()))
    grid = []
    for number, kept in rows.items():
        others = (place for place in range(number * num_places, (number + 1) * num_places) if place not in kept)
        grid.append([*kept, *(next(others) for _ in range(longest - len(kept)))])
    return grid


def decode(decoder: Decoder, request: DecodeRequest) -> tuple[Tensor, Tensor]:
    """Draw until all have ended or have T tokens; the result does not depend on ``check_every``.

    Returns:
        Tokens [U, C, T'] and log-probabilities [U, C, T'], T' ≤ T; what follows a completion's end is padding.
    """
    num_steps = request.uniforms.shape[-1] - 1
    for done in range(num_steps):
        if (done + 1) % request.check_every == 0 and not decoder.leave(num_steps - done):
            break
        decoder.step()
    return decoder.state.result()


class SharedDecoder(Decoder):
    """Completions read their prompt's keys once for all, and their own.

    Args:
        policy: The policy, inside its ``evaluating()``.
        encoded: U prompts.
        request: Noise [U, C, T] and sampling.
        is_fixed: No tensor moves or changes its shape from step to step, so that a CUDA graph can hold one; otherwise
            columns that are still empty are not computed with.
    """

    def __init__(
        self, policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest, *, is_fixed: bool = False
    ) -> None:
        super().__init__(policy, request, encoded.prompts.next_position.clone())
        hidden, self.cache = policy.prefill(encoded)
        self.cache.open(self.num_places, request.uniforms.shape[-1] - 1, is_fixed=is_fixed)  # the last token is not fed
        self.state.draw(hidden[:, None].expand(-1, self.num_places, -1))

    def step(self) -> None:
        """One more token for every completion, the same operations on the same memory every time if it is fixed."""
        self.state.draw(self.policy.decode_step(self.state.latest, self.position, self.cache))
        self.position.add_(1)

    def _select(self, slots: Tensor) -> None:
        self.cache.keep(slots)


class SeparateDecoder(Decoder):
    """Decodes prompts of one length with a row for each completion, for models that cannot share a prompt.

    It uses transformers' own cache: no padding, which a state would take in, and no mask.

    Args:
        policy: The policy, inside its ``evaluating()``.
        encoded: P prompts of one length.
        request: Noise [P*G, 1, T], prompt by prompt, and sampling.
    """

    def __init__(self, policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest) -> None:
        num_completions = len(request.uniforms) // len(encoded)
        super().__init__(policy, request, encoded.prompts.next_position.repeat_interleave(num_completions))
        hidden, self.cache = policy.prefill_alone(encoded, num_completions)
        self.state.draw(hidden[:, None])

    def step(self) -> None:
        """One more token for every completion."""
        self.state.draw(self.policy.decode_step(self.state.latest, self.position, self.cache))
        self.position.add_(1)

    def _select(self, slots: Tensor) -> None:
        self.cache.reorder_cache(slots[:, 0])
