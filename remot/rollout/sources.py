"""Where completions come from: the policy itself, another engine, or conversations with an environment.

A source takes P prompts and gives G completions for each; a step and an evaluation use the one they are given.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.engine import RolloutEngine, generate
from remot.rollout.sampling import RolloutRequest
from remot.structures import ClipFrames, PromptBatch, Question, Rollout, Turn, with_turns

#: Row of a prompt and number of a completion.
Place = tuple[int, int]
#: From the name of a prompt to the frames of its clip; None for a prompt without one.
ClipSource = Callable[[str], ClipFrames | None]


@dataclass(frozen=True, eq=False)
class LaterTurn:
    """A turn after the first one, of those completions that took it.

    Args:
        prompts: Their conversations up to it, each a single row without padding.
        columns: Where its tokens are among the T columns of the rollout.
    """

    prompts: Mapping[Place, "EncodedPrompts"]
    columns: slice


@dataclass(frozen=True, eq=False)
class Conversations:
    """What belongs to a rollout beside its tokens; without an environment every completion is a single turn.

    Args:
        num_first: Columns T_1 of the first turn.
        answers: P lists of G texts that rewards read.
        later: The turns after the first.
        turns: By completion what came before its last turn; nothing for completions of one turn.
        counts: What the environment counted, over all completions; None without an environment.
    """

    num_first: int
    answers: Sequence[Sequence[str]]
    later: Sequence[LaterTurn] = ()
    turns: Mapping[Place, Sequence[Turn]] = field(default_factory=dict)
    counts: Mapping[str, int] | None = None

    @classmethod
    def of_one_turn(cls, rollout: Rollout) -> "Conversations":
        """Those of completions that nothing replies to."""
        return cls(rollout.token_ids.shape[-1], rollout.texts)

    def questions(self, repeated: Sequence[Question]) -> list[Question]:
        """P x G questions, one of each completion, with the turns before its last one in their references."""
        group = len(self.answers[0]) if self.answers else 1
        places = [divmod(number, group) for number in range(len(repeated))]
        return [
            with_turns(question, turns) if (turns := self.turns.get(place)) else question
            for question, place in zip(repeated, places, strict=True)
        ]

    @property
    def num_prompt_columns(self) -> int:
        """Columns of all later prompts of the prompt that has most of them, for the estimate of memory."""
        sums: Counter[int] = Counter()
        for turn in self.later:
            for (row, _), prompt in turn.prompts.items():
                sums[row] += prompt.prompts.input_ids.shape[1]
        return max(sums.values(), default=0)

    def metrics(self) -> dict[str, float]:
        """Means over completions: turns, images of replies, and what the environment counted, if there is one."""
        if self.counts is None:
            return {}
        total = max(1, sum(len(group) for group in self.answers))
        held = [turn for turns in self.turns.values() for turn in turns]
        sums = {
            "num_turns": total + len(held),
            "num_images": sum(turn.num_images for turn in held),
            "frac_refused": sum(any(turn.is_refused for turn in turns) for turns in self.turns.values()),
            **self.counts,
        }
        return {f"turns/{name}": number / total for name, number in sums.items()}


@dataclass(frozen=True, eq=False)
class SampledPrompts:
    """P prompts and G completions for each."""

    encoded: EncodedPrompts  # the prompts for the model, images encoded without gradient
    rollout: Rollout
    conversations: Conversations


class RolloutSource(ABC):
    """Samples completions for prompts."""

    #: Whether :meth:`begin` samples completions of the next step while this one is learnt from.
    one_step_ahead: bool = False

    def synchronise(self, policy: VLMPolicy, step: int) -> None:  # noqa: B027 (most have the policy's own weights)
        """Take the weights of the policy at an optimizer step; all processes of a run call this."""

    def begin(self, policy: VLMPolicy, batch: PromptBatch, request: RolloutRequest) -> None:  # noqa: B027
        """Begin to sample completions of the next step with the weights of this one, if :attr:`one_step_ahead`.

        :meth:`sample` takes them if it is asked for the same ones.
        """

    @abstractmethod
    def sample(
        self,
        policy: VLMPolicy,
        batch: PromptBatch,
        request: RolloutRequest,
        clips: ClipSource,
        engine: RolloutEngine | None = None,
        encoded: EncodedPrompts | None = None,
    ) -> SampledPrompts:
        """Encode P prompts and sample G completions for each.

        Args:
            policy: The policy.
            batch: P prompts.
            request: What is sampled.
            clips: Frames of the clips that prompts are about.
            engine: How the policy decodes; with default settings if None.
            encoded: What this source has made of the same prompts for other completions; made anew if None.
        """


class PolicyRollouts(RolloutSource):
    """The policy completes each prompt."""

    def sample(
        self,
        policy: VLMPolicy,
        batch: PromptBatch,
        request: RolloutRequest,
        clips: ClipSource,  # noqa: ARG002
        engine: RolloutEngine | None = None,
        encoded: EncodedPrompts | None = None,
    ) -> SampledPrompts:
        """Decode with the policy's own weights."""
        encoded = encode(policy, batch) if encoded is None else encoded
        rollout = generate(policy, encoded, request, engine)
        return SampledPrompts(encoded, rollout, Conversations.of_one_turn(rollout))


def encode(policy: VLMPolicy, batch: PromptBatch) -> EncodedPrompts:
    """P prompts for the model, without gradient."""
    with torch.no_grad():
        return policy.encode(policy.process(batch))
