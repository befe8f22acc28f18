"""How a rollout is run; none of it changes what is drawn, but by rounding in half precision."""

from dataclasses import dataclass
from typing import Literal

from remot.errors import ConfigError


@dataclass(frozen=True)
class RolloutSettings:
    """Speed and memory of a rollout. Tokens are a function of seed, step, prompt and number of the completion.

    Args:
        decode: ``plain`` runs a token's operations one by one, ``cuda_graph`` records them once for a rollout and
            replays them. ``auto`` takes graphs on a GPU, the plain loop where they cannot be recorded and elsewhere.
        prompts_together: Prompts whose completions are decoded at the same time. ``auto`` takes what fits into the
            memory that is free on a GPU, and all of them elsewhere.
        check_every: Tokens between two looks at who has finished, for which a GPU has to be waited for. None takes 16
            on a GPU and 1 elsewhere.
    """

    decode: Literal["auto", "plain", "cuda_graph"] = "auto"
    prompts_together: Literal["auto"] | int = "auto"
    check_every: int | None = None

    def __post_init__(self) -> None:
        if self.decode not in ("auto", "plain", "cuda_graph"):
            msg = f"rollout.decode is auto, plain or cuda_graph, not {self.decode!r}"
            raise ConfigError(msg)
        if self.prompts_together != "auto" and self.prompts_together < 1:
            msg = f"rollout.prompts_together is auto or at least 1, not {self.prompts_together}"
            raise ConfigError(msg)
        if self.check_every is not None and self.check_every < 1:
            msg = f"rollout.check_every is at least 1, not {self.check_every}"
            raise ConfigError(msg)
