"""Whether it pays to draft tokens from completions that are there, and to verify several of them in one pass.

    python benchmarks/drafting.py --model RUN/adapter                  # 16 prompts of the quickstart, 8 completions
    python benchmarks/drafting.py --size mid --prompts 1 --tokens 8    # what a pass costs with larger, random weights

A draft continues the last tokens of a completion as they were continued before: in the completions of its prompt so
far, or also in those of 48 earlier prompts. A drafted token counts only where the plain loop draws the same, so the
plain loop's completions say how many count. A pass over W tokens of each completion is timed as one over W times as
many completions. Drafting pays where a pass gives more tokens than it costs; finding drafts costs nothing here.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import takewhile
from pathlib import Path

import torch
from engine import Setting, load, prompts
from grpo.sizes import SIZES

from remot.data import MotionDataModule
from remot.data.datasets.loaders import collate_prompts
from remot.models import LoRA, ModelSource, VLMPolicy
from remot.rollout.decoding.engine import generate
from remot.rollout.decoding.loop import DecodeRequest, SharedDecoder
from remot.rollout.sampling import RolloutAddress, RolloutRequest, SamplingSettings

#: How many tokens at the end of a completion are looked up, and how many are drafted for a pass.
ORDERS, DRAFTED = (3, 2), (1, 2, 4, 8)
Table = dict[tuple[int, ...], Counter[int]]


def learn(table: Table, ids: Sequence[int], start: int = 1) -> None:
    """Count the tokens of ``ids`` from ``start`` on by what is before them."""
    for end in range(start, len(ids)):
        for order in (order for order in ORDERS if end >= order):
            table[tuple(ids[end - order : end])][ids[end]] += 1


def draft(table: Table, ids: Sequence[int], most: int) -> list[int]:
    """At most ``most`` tokens to follow ``ids``, each the one that has followed most often."""
    longer = list(ids)
    while len(longer) < len(ids) + most:
        found = (table.get(tuple(longer[-order:])) for order in ORDERS if len(longer) >= order)
        if (counts := next(filter(None, found), None)) is None:
            break
        longer.append(counts.most_common(1)[0][0])
    return longer[len(ids) :]


def replay(groups: Sequence[Sequence[Sequence[int]]], most: int, earlier: Table | None = None) -> Counter[str]:
    """Passes with drafts of ``most`` tokens until all completions of all groups are drawn, their first token given.

    ``turns`` counts completions in passes, ``drafted``, ``accepted`` and ``drawn`` their tokens. Drafts come from the
    completions of the same prompt, or from all and from what is in ``earlier``.
    """
    tables = [defaultdict(Counter) if earlier is None else earlier for _ in groups]
    rows = [(table, ids) for table, group in zip(tables, groups, strict=True) for ids in group]
    filled, total = [1] * len(rows), Counter[str]()
    while any(done < len(ids) for done, (_, ids) in zip(filled, rows, strict=True)):
        before = list(filled)
        for number, (table, ids) in enumerate(rows):
            if left := ids[filled[number] :]:  # a pass draws a token behind the accepted ones, here at most the last
                drafted = draft(table, ids[: filled[number]], most)
                matching = takewhile(lambda pair: pair[0] == pair[1], zip(drafted, left[:-1], strict=False))
                accepted = len(list(matching))
                filled[number] += accepted + 1
                total.update(turns=1, drafted=len(drafted), accepted=accepted, drawn=accepted + 1)
        for (table, ids), done, start in zip(rows, filled, before, strict=True):  # nothing of this pass was known in it
            learn(table, ids[:done], start)
        total["passes"] += 1
    return total


def drawn(policy: VLMPolicy, asked: argparse.Namespace) -> Iterator[list[list[list[int]]]]:
    """Tokens of each completion of the quickstart's training prompts at temperature 1, batch by batch."""
    data = MotionDataModule(batch_size=asked.prompts, num_train_prompts_per_epoch=16384)
    data.setup()
    for first in range(1000, 16384, asked.prompts):
        batch = collate_prompts([data.prompts["train"][number] for number in range(first, first + asked.prompts)])
        address = RolloutAddress(0, first, tuple(question.prompt_id for question in batch.questions))
        request = RolloutRequest(asked.completions, asked.tokens, SamplingSettings(), address)
        rollout = generate(policy, policy.encode(policy.process(batch)), request)
        pairs = zip(rollout.token_ids, rollout.completion_mask, strict=True)
        yield [[ids[mask].tolist() for ids, mask in zip(*pair, strict=True)] for pair in pairs]


def report_drafts(policy: VLMPolicy, asked: argparse.Namespace) -> None:
    """Print how many tokens a pass would give."""
    stream, known = drawn(policy, asked), defaultdict(Counter)
    for _ in range(-(-48 // asked.prompts)):
        for ids in (ids for group in next(stream) for ids in group):
            learn(known, ids)
    groups = next(stream)
    for name, most in ((name, most) for name in ("siblings", "and earlier ones") for most in DRAFTED):
        found = replay(groups, most, None if name == "siblings" else deepcopy(known))
        tokens, share = found["drawn"] / found["turns"], found["accepted"] / max(1, found["drafted"])
        print(f"{name}, {most} drafted: {tokens:.2f} tokens a pass, {share:.2f} accepted, {found['passes']} passes")


def report_passes(policy: VLMPolicy, asked: argparse.Namespace) -> None:
    """Print processor time of passes over one and over more tokens of each completion, timed in turn."""
    encoded = policy.encode(policy.process(prompts(Setting(asked.prompts, asked.completions, asked.tokens, 64, 1))))
    times = defaultdict(list)
    for width in (1, *(1 + most for most in DRAFTED)) * 3:
        uniforms = torch.rand(asked.prompts, width * asked.completions, asked.tokens, dtype=torch.float64)
        with policy.sampling():
            decoder = SharedDecoder(policy, encoded, DecodeRequest(uniforms, SamplingSettings(), 1))
            started = time.process_time()
            for _ in range(asked.tokens - 1):
                decoder.step()
            times[width].append((time.process_time() - started) / (asked.tokens - 1) * 1e3)
    for width, found in times.items():
        median, least, most = statistics.median(found), min(found), max(found)
        ratio = median / statistics.median(times[1])
        print(f"a pass over {width} tokens: {median:.1f} ms ({least:.1f} to {most:.1f}), {ratio:.2f} times one over 1")


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="trained adapter or whole model; without one only passes are timed")
    parser.add_argument("--size", choices=SIZES, default="mid", help="of random weights")
    for name, number in (("prompts", 16), ("completions", 8), ("tokens", 48)):
        parser.add_argument(f"--{name}", type=int, default=number)
    asked = parser.parse_args()
    if asked.model is not None:
        policy = VLMPolicy(ModelSource(asked.model), LoRA())
        report_drafts(policy, asked)
    else:
        with tempfile.TemporaryDirectory() as folder:
            policy = load(asked.size, "float32", Path(folder), None)
    report_passes(policy, asked)


if __name__ == "__main__":
    main()
