"""The interface of environments: a conversation so far in, text and images out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np
from torch import Tensor

from remot.errors import ConfigError
from remot.seeding import Address, numpy_generator
from remot.structures import ClipFrames, Question, Turn


@dataclass(frozen=True, eq=False)
class Episode:
    """One conversation up to a response of the policy.

    Args:
        question: What was asked.
        response: What the policy has just written, special tokens left out; hostile. "" before its first turn.
        turns: The turns before it, with the replies to them.
        images: What has been shown so far, uint8 [3, H, W]: images of the prompt, then of the replies.
        clip: Frames of the clip that the prompt is about; None for a prompt without a clip.
        turns_left: Turns that the policy may still take.
        images_left: Images that replies may still show.
        seed: Of the run.
        completion: Number of the completion within its group.
        address: Names the randomness: optimizer step, prompt, number of the completion, number of the turn.
    """

    question: Question
    response: str = ""
    turns: Sequence[Turn] = ()
    images: Sequence[Tensor] = ()
    clip: ClipFrames | None = None
    turns_left: int = 1
    images_left: int = 0
    seed: int = 0
    completion: int = 0
    address: tuple[Address, ...] = ()

    @property
    def generator(self) -> np.random.Generator:
        """Randomness of this reply; the same each time, and in a resumed run."""
        return numpy_generator(self.seed, "environment", *self.address)


@dataclass(frozen=True, eq=False)
class Reply:
    """What an environment says to a turn.

    Args:
        text: Shown after the images. Special tokens of the model in it are replaced by spaces.
        images: uint8 [3, H, W], on the CPU.
        counts: Numbers to add up and log, by name, such as ``requests``.
        is_refused: Less is given than was asked for.
    """

    text: str
    images: Sequence[Tensor] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    is_refused: bool = False


class Environment(ABC):
    """Replies to turns of a policy. It keeps no state: a reply is a function of the episode, so resuming is exact.

    Attributes:
        counters: Names of counts that are logged as 0 where no reply has them.
    """

    counters: tuple[str, ...] = ()

    def instructions(self, episode: Episode) -> str:  # noqa: ARG002
        """Text that follows the question of the first prompt, such as how to ask; "" for none.

        Raises:
            ConfigError: If the environment can reply to nothing about this prompt.
        """
        return ""

    @abstractmethod
    def respond(self, episode: Episode) -> Reply | None:
        """The reply to ``episode.response``; None if it is the policy's answer. Nothing in the response may raise."""

    def demonstrate(self, episode: Episode) -> Sequence[str]:
        """Responses of a perfect policy, turn by turn, for SFT; by default the right response at once.

        Args:
            episode: Before the first turn; ``episode.question`` holds what the annotations know.
        """
        return [episode.question.response]

    def answer(self, response: str) -> str:
        """What rewards and scores read of the last response, as ``<answer>…</answer>``; by default all of it."""
        return response


@dataclass(frozen=True)
class TurnSettings:
    """Conversations of a policy with an environment, and their bounds, which hold for any environment.

    Args:
        environment: What replies, one of :mod:`remot.environments` or a class of one's own.
        max_turns: Turns of the policy, its answer included. The last one gets no reply.
        max_images: Images of all replies of a conversation together; more are left out.
        max_reply_characters: Longest text of a reply; the rest is left out.
        max_prompt_tokens: A reply that would make the conversation longer than this ends it instead.
    """

    environment: Environment
    max_turns: int = 4
    max_images: int = 16
    max_reply_characters: int = 2000
    max_prompt_tokens: int = 16384

    def __post_init__(self) -> None:
        require_whole("turns", 2, max_turns=self.max_turns)
        require_whole("turns", 0, max_images=self.max_images, max_reply_characters=self.max_reply_characters)
        require_whole("turns", 1, max_prompt_tokens=self.max_prompt_tokens)


def require_whole(owner: str, least: int, **settings: object) -> None:
    """Refuse settings that are no whole number from ``least`` on.

    Raises:
        ConfigError: Naming ``owner`` and the setting.
    """
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
            msg = f"{owner}: {name} is {value!r:.40}, give a whole number from {least} on"
            raise ConfigError(msg)
