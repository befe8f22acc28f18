"""What a conversation of several turns consists of, and the frames that one is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Turn:
    """A turn of the policy that an environment replied to; the last turn of a conversation is its answer, and is none.

    Args:
        response: What the policy wrote; hostile.
        reply: Text of the environment's reply.
        num_images: Images of the reply.
        is_refused: The environment gave less than was asked for.
    """

    response: str
    reply: str
    num_images: int = 0
    is_refused: bool = False


class ClipFrames(Protocol):
    """The annotated frames of the clip that a prompt is about."""

    @property
    def pts_seconds(self) -> Sequence[float]:
        """Their N times, strictly increasing, on the clock that questions and videos use."""

    def read(self, frame_indices: Sequence[int]) -> list[Tensor] | None:
        """Images uint8 [3, H, W] of frames in [0, N), in the order asked for.

        Returns:
            None if they cannot be read, and the data module skips such clips.

        Raises:
            DecodeError: If they cannot be read, and it does not.
        """
