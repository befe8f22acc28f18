"""Asks every prompt of a benchmark, batch by batch, and keeps the replies."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict

from remot.errors import ConfigError
from remot.evaluation.benchmarks.base import Benchmark, BenchmarkPrompt, ModelReply, Verdict
from remot.evaluation.benchmarks.media import shown_batch
from remot.evaluation.benchmarks.replies import ReplyStore, reply_key, settings_hash
from remot.evaluation.benchmarks.responders import AnswerSettings, Responder

#: Called with how many prompts are answered and how many there are.
Answered = Callable[[int, int], None]


def answer_all(
    benchmark: Benchmark,
    prompts: Sequence[BenchmarkPrompt],
    responder: Responder,
    settings: AnswerSettings,
    store: ReplyStore,
    batch_size: int,
    on_answered: Answered = lambda *_: None,
) -> list[Verdict]:
    """Verdicts on the replies to all prompts, in their order.

    Batches are the same whether or not some prompts have been answered before: a batch with a reply missing is answered
    again as a whole, so that a run that was stopped computes what it would have computed.

    Args:
        benchmark: Parses and scores.
        prompts: What is asked.
        responder: Who answers.
        settings: How.
        store: Replies that are there already, and where new ones go.
        batch_size: Prompts answered together.
        on_answered: Called after each batch.

    Raises:
        ConfigError: If two prompts have one id.
        RemotError: If media cannot be decoded or no reply is given.
    """
    if batch_size < 1:
        msg = f"--batch_size {batch_size}: answer at least 1 prompt at a time"
        raise ConfigError(msg)
    (name, count), *_ = Counter(prompt.prompt_id for prompt in prompts).most_common(1) or [("", 0)]
    if count > 1:
        msg = f"{benchmark.name}: {count} prompts have the id {name!r:.80}, each needs its own"
        raise ConfigError(msg)
    setting = settings_hash({"responder": responder.identity, "settings": asdict(settings)})
    replies: list[ModelReply] = []
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        keys = [reply_key(prompt, setting) for prompt in batch]
        found = [reply for reply in map(store.get, keys) if reply is not None]
        if len(found) < len(batch):
            names = [prompt.prompt_id for prompt in batch]
            store.add(keys, names, responder.answer(shown_batch(batch, benchmark.name), settings))
            found = [reply for reply in map(store.get, keys) if reply is not None]
        replies += found
        on_answered(len(replies), len(prompts))
    return [benchmark.judged(prompt, reply) for prompt, reply in zip(prompts, replies, strict=True)]
