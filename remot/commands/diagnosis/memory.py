"""How much memory a run needs, from the sizes of its model, and by which setting less would do."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from remot.commands.diagnosis.findings import Finding, size
from remot.models.sizes import ModelSizes
from remot.rollout.decoding.memory import PLANNED_SHARE, SCORED_ROWS, decode_bytes, score_bytes

#: Memory of GPUs in GB as sold, and the share of it that a process can have.
GPUS_GB, USABLE_SHARE = (16, 24, 32, 40, 48, 80, 141, 192), 0.97
#: The limit of completion tokens that is proposed.
FEWER_TOKENS = 1024
#: Bytes that an optimizer keeps of a trained number, by what its name begins or ends with; Adam's two otherwise.
_OPTIMIZER_BYTES = {"SGD": 0, "8bit": 2, "Lion": 4, "Adafactor": 1}


@dataclass(frozen=True)
class RunShape:
    """What of a run's settings takes memory.

    Args:
        num_columns: Tokens of the longest prompt.
        batch_size: Prompts of a step.
        num_completions: Completions of a prompt; 1 if the run is supervised only.
        max_new_tokens: Longest completion.
        micro_batch_prompts: Prompts of a backward pass at most.
        prompts_together: Prompts that are decoded together at least: a number that was set, or 1.
        evaluated_tokens: Longest completion of an evaluation.
        optimizer_bytes: Kept by the optimizer of each trained number.
        copies_model: A frozen copy of the whole model is the reference.
        merges_adapters: Sampling adds adapters to copies of the weights.
        prepacks_weights: Sampling copies weights to another layout.
        micro_batch_tokens: Completion tokens of a backward pass at most; None for no limit.
        copies_prompts: Each completion has a copy of its prompt: ``prefix_sharing`` is off. A model may need it too.
    """

    num_columns: int
    batch_size: int
    num_completions: int
    max_new_tokens: int
    micro_batch_prompts: int
    prompts_together: int
    evaluated_tokens: int
    optimizer_bytes: int
    copies_model: bool
    merges_adapters: bool = False
    prepacks_weights: bool = False
    micro_batch_tokens: int | None = None
    copies_prompts: bool = False

    @property
    def scored_together(self) -> int:
        """Prompts of one backward pass."""
        return min(self.micro_batch_prompts, self.batch_size)

    @property
    def completions_together(self) -> int:
        """Completions of a prompt in one backward pass."""
        if self.micro_batch_tokens is None:
            return self.num_completions
        fitting = self.micro_batch_tokens // (self.max_new_tokens * self.scored_together)
        return min(self.num_completions, max(1, fitting))


@dataclass(frozen=True)
class MemoryDemand:
    """Bytes that a run needs: what is there all the time, and the largest of what comes and goes."""

    weights: int
    training: int  # trained weights, their gradients, what the optimizer keeps
    reference: int
    rollout: int
    update: int
    evaluation: int

    @property
    def fixed(self) -> int:
        """What is there all the time."""
        return self.weights + self.training + self.reference

    @property
    def peak(self) -> int:
        """The largest of what comes and goes."""
        return max(self.rollout, self.update, self.evaluation)

    @property
    def total(self) -> int:
        """Both, with room for fragments as the planner of micro-batches leaves it."""
        return self.fixed + round(self.peak / PLANNED_SHARE)

    @property
    def gpu_gb(self) -> int | None:
        """The smallest GPU that has it, in GB; None if none has."""
        return next((one for one in GPUS_GB if self.total <= one * 1e9 * USABLE_SHARE), None)


def optimizer_bytes(name: str) -> int:
    """Bytes that an optimizer keeps of each trained float32 number."""
    return next((number for key, number in _OPTIMIZER_BYTES.items() if key in name), 8)


def memory_demand(sizes: ModelSizes, shape: RunShape) -> MemoryDemand:
    """The bytes of a run on one GPU.

    What a token costs is :class:`remot.models.memory.MemoryEstimate`'s, by which training plans too.
    """
    adapters = 0 if sizes.num_trained * 2 > sizes.num_parameters else sizes.trained_bytes
    number_bytes = sizes.trained_bytes / max(1, sizes.num_trained)  # 4 in float32, 2 in half precision
    kept = round(sizes.trained_bytes + sizes.num_trained * shape.optimizer_bytes * number_bytes / 4)
    shares = not (shape.copies_prompts or sizes.copies_prompts)
    columns = shape.num_columns * (1 if shares else shape.num_completions)  # in the caches of a prompt
    tokens = (columns, shape.num_completions, shape.max_new_tokens)
    scored = (shape.num_columns, shape.completions_together, shape.max_new_tokens)
    # a sum with adapters is given up once it is copied to the other layout
    merged, packed = sizes.adapted_bytes * shape.merges_adapters, sizes.prepacked_bytes * shape.prepacks_weights
    copied = max(merged, packed)
    return MemoryDemand(
        weights=sizes.weight_bytes,
        training=adapters + kept,
        reference=sizes.weight_bytes if shape.copies_model else 0,
        rollout=decode_bytes(sizes.memory, *tokens) * shape.prompts_together + copied,
        update=score_bytes(sizes.memory, *scored, shares_prompts=shares) * shape.scored_together
        + SCORED_ROWS * sizes.memory.logits_bytes,
        evaluation=decode_bytes(sizes.memory, shape.num_columns, 1, shape.evaluated_tokens) + copied,
    )


def smaller_demands(sizes: ModelSizes, shape: RunShape, *, is_quantised: bool) -> Iterator[tuple[str, MemoryDemand]]:
    """Settings that change one thing, with what the run would need then; those that need at least a twentieth less."""
    total = memory_demand(sizes, shape).total
    for words, changed_sizes, changed_shape in _changes(sizes, shape, is_quantised=is_quantised):
        demand = memory_demand(changed_sizes, changed_shape)
        if demand.total <= 0.95 * total:
            yield words, demand


def _changes(sizes: ModelSizes, shape: RunShape, *, is_quantised: bool) -> Iterator[tuple[str, ModelSizes, RunShape]]:
    if shape.scored_together > 1:
        yield "--model.micro_batch_prompts 1", sizes, replace(shape, micro_batch_prompts=1)
    if shape.num_completions * shape.max_new_tokens > FEWER_TOKENS and shape.completions_together > 1:
        fewer = replace(shape, micro_batch_prompts=1, micro_batch_tokens=FEWER_TOKENS)
        yield f"--model.micro_batch_prompts 1 --model.grpo.micro_batch_tokens {FEWER_TOKENS}", sizes, fewer
    if not sizes.memory.recomputes:
        recomputing = replace(sizes, memory=replace(sizes.memory, recomputes=True))
        yield "--model.policy.gradient_checkpointing true", recomputing, shape
    for part in (2, 4, 8):
        tokens = shape.max_new_tokens // part
        if tokens >= 64:
            fewer = replace(shape, max_new_tokens=tokens, evaluated_tokens=min(shape.evaluated_tokens, tokens))
            yield f"--model.grpo.max_new_tokens {tokens} (and model.evaluation's)", sizes, fewer
    if shape.num_completions > 4:
        half = shape.num_completions // 2
        yield f"--model.grpo.num_completions {half}", sizes, replace(shape, num_completions=half)
    if not is_quantised:
        quantised = replace(sizes, weight_bytes=sizes.quantised_bytes)
        yield "--model.policy.adaptation QLoRA", quantised, replace(shape, copies_model=False)


def memory_finding(
    sizes: ModelSizes,
    shape: RunShape,
    available: int | None,
    *,
    is_quantised: bool,
    is_gpu: bool,
    library_bytes: int = 0,
) -> Finding:
    """What the run needs against what there is.

    Args:
        sizes: Of the model.
        shape: Of the run.
        available: Bytes that are free on the device; None if there is no such device here.
        is_quantised: The weights are held in 4 bits.
        is_gpu: The run is for a GPU.
        library_bytes: What the process holds besides its tensors, where these lie in the same memory.
    """
    demand = memory_demand(sizes, shape)
    total = demand.total + library_bytes
    parts = (
        f"{size(total)} estimated: "
        + (f"libraries {size(library_bytes)}, " if library_bytes else "")
        + f"weights {size(demand.weights)}, training {size(demand.training)}"
        + (f", reference {size(demand.reference)}" if demand.reference else "")
        + f", and the largest of rollout {size(demand.rollout)}, update {size(demand.update)}, evaluation "
        f"{size(demand.evaluation)} with a quarter more for fragments; prompts of {shape.num_columns} tokens"
    )
    facts = {"bytes": total, "gpu_gb": demand.gpu_gb, "update": demand.update, "rollout": demand.rollout}
    fits = available is None or total <= available
    if is_gpu:
        gpu = "more than any one GPU has" if demand.gpu_gb is None else f"a GPU of {demand.gpu_gb} GB"
        parts += f"; {gpu}"
    less = sorted(smaller_demands(sizes, shape, is_quantised=is_quantised), key=lambda one: one[1].total)
    advice = "; ".join(
        f"{words}: {size(one.total + library_bytes)}" + (f", {one.gpu_gb} GB GPU" if is_gpu and one.gpu_gb else "")
        for words, one in less[:5]
    )
    if fits and not is_gpu:
        return Finding("fine", "memory", parts + f"; free {size(available)}" if available else parts, facts=facts)
    free = "" if available is None else f"; {size(available)} are free here"
    return Finding("fine" if fits else "fail", "memory", parts + free, advice and f"less: {advice}", facts)
