"""How much fits into the free memory.

Sizes change memory and time, never results: noise has an address, and losses carry the denominator of the whole batch.
"""

import torch

from remot.models.memory import MemoryEstimate
from remot.models.packing.attention import BLOCK_QUERIES
from remot.models.packing.prefill import PASS_TOKENS

#: Share of the free memory that is planned with; the rest is for fragments and what no estimate covers.
PLANNED_SHARE = 0.8
#: Rows of logits that the scoring pass holds at once, see :mod:`remot.models.logprobs`.
SCORED_ROWS = 512
#: Columns of caches with a copy of the prompt for each completion where the free memory of the device is unknown.
UNPLANNED_COLUMNS = 2**15
#: Prompts of a micro-batch where the free memory of the device is unknown.
UNPLANNED_MICRO_BATCH = 4


def free_bytes(device: torch.device) -> int | None:
    """Available bytes on a device, including what torch has reserved; None if unknown."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + reserve)


def decode_bytes(footprint: MemoryEstimate, num_columns: int, num_completions: int, max_new_tokens: int) -> int:
    """Memory to decode a prompt of L columns with G completions of T tokens: cache, logits, and a pass of prefill."""
    total = num_columns + num_completions * max_new_tokens
    prefill = min(num_columns, PASS_TOKENS) * footprint.passing_bytes
    return total * footprint.cache_bytes + num_completions * footprint.logits_bytes + prefill


def score_bytes(
    footprint: MemoryEstimate,
    num_columns: int,
    num_completions: int,
    max_new_tokens: int,
    *,
    shares_prompts: bool = True,
) -> int:
    """Memory of one prompt and its completions in a pass with gradient; arguments as of :func:`decode_bytes`.

    Attention copies the prompt's keys and values for each completion, and adds a mask for each block of queries of all
    completions, with a row for each query head that shares its keys, and the columns up to the block's end. Without
    ``shares_prompts`` each completion is a row of its own behind a copy of its prompt.
    """
    copies = 1 if shares_prompts else num_completions
    total = num_columns * copies + num_completions * max_new_tokens
    # Of one token: what all blocks keep, and the keys and values among it.
    activations, cache = footprint.num_layers * footprint.block_bytes, footprint.cache_bytes
    if footprint.recomputes:  # the blocks' inputs and one whole block, with its keys and values
        inputs = footprint.num_layers * footprint.hidden_size * footprint.bytes_per_number
        activations, cache = inputs + footprint.block_bytes, cache // footprint.num_layers
    kept = total * (activations + footprint.gradient_bytes)
    if not shares_prompts:
        return kept
    rows = max_new_tokens * footprint.query_size // footprint.key_value_size
    columns = num_columns + (max_new_tokens + min(max_new_tokens, BLOCK_QUERIES)) // 2  # of a mask, the mean
    mask = rows * columns * footprint.bytes_per_number
    return kept + mask + num_completions * num_columns * cache


def prompts_that_fit(free: int, fixed_bytes: int, bytes_per_prompt: int, num_prompts: int) -> int:
    """How many of the prompts fit into ``free`` bytes, at least 1; ``fixed_bytes`` are needed in any case."""
    usable = int(free * PLANNED_SHARE) - fixed_bytes
    return max(1, min(num_prompts, usable // max(1, bytes_per_prompt)))


def plan_decode(
    footprint: MemoryEstimate, free: int | None, shape: tuple[int, int, int, int], *, shares_prompts: bool = True
) -> int:
    """Prompts to decode together, all if ``free`` is None.

    ``shape`` is P prompts, L columns, G completions and T tokens. Without ``shares_prompts`` each completion has a copy
    of its prompt's columns, at most :data:`UNPLANNED_COLUMNS` of them in all where ``free`` is None.
    """
    num_prompts, num_columns, num_completions, num_tokens = shape
    copies = 1 if shares_prompts else num_completions
    if free is None:
        fitting = UNPLANNED_COLUMNS // (num_completions * (num_columns + num_tokens))
        return num_prompts if shares_prompts else max(1, min(num_prompts, fitting))
    needed = decode_bytes(footprint, num_columns * copies, num_completions, num_tokens)
    return prompts_that_fit(free, 0, needed, num_prompts)


def plan_micro_batch(
    footprint: MemoryEstimate, free: int | None, shape: tuple[int, int, int, int], *, shares_prompts: bool = True
) -> int:
    """Prompts of a micro-batch; arguments as of :func:`plan_decode`."""
    num_prompts, *sizes = shape
    if free is None:
        return min(num_prompts, UNPLANNED_MICRO_BATCH)
    chunk = SCORED_ROWS * footprint.logits_bytes
    return prompts_that_fit(free, chunk, score_bytes(footprint, *sizes, shares_prompts=shares_prompts), num_prompts)
