"""A reward that runs in a process of its own, with a bound on its time."""

import multiprocessing
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch

from remot.deadline import require_seconds, waited
from remot.errors import RemotError, RewardError
from remot.rewards.base import MAX_NAMED_PROMPTS, Reward, WrapperReward, name_of, scored_by
from remot.structures import Question, RewardOutput

#: Longest time for the process to start and import what the reward needs.
START_SECONDS = 120.0


class IsolatedReward(WrapperReward):
    """``reward``, computed in a process of its own: a reward that hangs, crashes or leaks takes nothing with it.

    The process starts with the first batch and stays. One that takes too long is killed; the error names its prompts.

    Args:
        reward: Is sent to the process, so it has to be picklable: its class has to stand in a module.
        max_seconds: Longest time for the completions of a step.

    Raises:
        ConfigError: If ``max_seconds`` is none that can be waited.
    """

    def __init__(self, reward: Reward, max_seconds: float = 60.0) -> None:
        require_seconds("max_seconds", max_seconds)
        self.reward, self.max_seconds = reward, max_seconds
        self.name = reward.name
        self._process: Any = None
        self._connection: Connection | None = None

    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """What ``reward`` gives.

        Raises:
            RewardError: If it raises, takes longer than ``max_seconds``, or ends its process.
        """
        connection = self._started()
        try:
            connection.send((list(completions), list(questions), None if num_tokens is None else list(num_tokens)))
            if not waited(connection.poll, self.max_seconds):
                self._refuse(f"did not return within {self.max_seconds:g} s", questions)
            answer = connection.recv()
        except (EOFError, OSError):
            self._process.join(1.0)
            self._refuse(f"ended its process with exit code {self._process.exitcode}", questions)
        if isinstance(answer, str):
            raise RewardError(answer, reason="reward")
        return _unpacked(answer)

    def _started(self) -> Connection:
        if self._connection is None:
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self.reward), daemon=True)
            self._process.start()
            theirs.close()
            if not waited(self._connection.poll, START_SECONDS) or self._connection.recv() != "ready":
                self._refuse(f"did not start within {START_SECONDS:g} s", ())
        return self._connection

    def _refuse(self, what: str, questions: Sequence[Question]) -> NoReturn:
        """End the process; a later batch starts another one."""
        self.close()
        names = list(dict.fromkeys(question.prompt_id for question in questions))
        others = f" and {len(names) - MAX_NAMED_PROMPTS} others" if len(names) > MAX_NAMED_PROMPTS else ""
        prompts = f", for prompts {', '.join(names[:MAX_NAMED_PROMPTS])}{others}" if names else ""
        msg = f"the reward {name_of(self.reward)} {what}{prompts}"
        raise RewardError(msg, reason="reward")

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
            self._process.kill()
            self._process.join()
            self._connection = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the process, for copies."""
        return self.__dict__ | {"_process": None, "_connection": None}


def _serve(connection: Connection, reward: Reward) -> None:
    """Score batches until the other end is closed, whatever signals the group of processes is sent."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU", "SIGUSR1"):
        if name in signal.Signals.__members__:
            signal.signal(signal.Signals[name], signal.SIG_IGN)
    torch.set_num_threads(1)
    connection.send("ready")
    with suppress(EOFError, OSError):
        while True:
            completions, questions, num_tokens = connection.recv()
            try:
                answer: object = _packed(scored_by(reward, completions, questions, num_tokens))
            except RewardError as error:
                answer = str(error)
            except RemotError as error:
                answer = f"the reward {name_of(reward)} raised {type(error).__name__}: {error}"
            except MemoryError:
                answer = f"the reward {name_of(reward)} ran out of memory"
            connection.send(answer)


def _packed(output: RewardOutput) -> dict[str, Any]:
    """As plain lists, so that no tensor is shared between processes."""
    return {
        "total": output.total.tolist(),
        "parts": {name: part.tolist() for name, part in output.parts.items()},
        "success": output.success.tolist(),
        "terms": [(weight, term.tolist()) for weight, term in output.weighted_terms],
        "judged": None if output.judged is None else output.judged.tolist(),
    }


def _unpacked(held: dict[str, Any]) -> RewardOutput:
    return RewardOutput(
        torch.tensor(held["total"], dtype=torch.float32),
        {name: torch.tensor(part, dtype=torch.float32) for name, part in held["parts"].items()},
        torch.tensor(held["success"], dtype=torch.bool),
        [(weight, torch.tensor(term, dtype=torch.float32)) for weight, term in held["terms"]],
        None if held["judged"] is None else torch.tensor(held["judged"], dtype=torch.bool),
    )
