"""The losses written out completion by completion, in plain Python: nested lists [P][G][T] in, a number out.

Each ``..._tokens`` or ``..._value`` takes the log-probabilities of one completion (only its real tokens) and gives what
the formula of its paper has for that completion; ``aggregate`` takes the mean the paper takes.
"""

import math


def ratios(new, old):
    return [math.exp(n) / math.exp(o) for n, o in zip(new, old, strict=True)]


def clip(x, low, high):
    return max(low, min(x, high))


def k1(new, ref, old):  # noqa: ARG001
    return new - ref


def k2(new, ref, old):  # noqa: ARG001
    return (new - ref) ** 2 / 2


def k3(new, ref, old):  # noqa: ARG001
    ratio = math.exp(ref) / math.exp(new)
    return ratio - math.log(ratio) - 1


def corrected_k3(new, ref, old):
    return math.exp(new) / math.exp(old) * k3(new, ref, old)


# -- objectives of a completion, token by token ---------------------------------------------------------------------


def ppo_tokens(new, old, advantage, *, low, high, delta=math.inf):
    return [min(min(r, delta) * advantage, clip(r, 1 - low, 1 + high) * advantage) for r in ratios(new, old)]


def dual_clip_tokens(new, old, advantage, *, low, high, bound):
    values = ppo_tokens(new, old, advantage, low=low, high=high)
    return [max(value, bound * advantage) for value in values] if advantage < 0 else values


def sequence_ratio(new, old):
    """Probability of the whole completion over that of the old policy, to the power of one over its length."""
    product = math.prod(math.exp(n) for n in new) / math.prod(math.exp(o) for o in old)
    return product ** (1 / len(new))


def gspo_tokens(new, old, advantage, *, low, high):
    ratio = sequence_ratio(new, old)
    return [min(ratio * advantage, clip(ratio, 1 - low, 1 + high) * advantage)] * len(new)


def cispo_tokens(new, old, advantage, *, low, high):
    return [clip(r, 1 - low, 1 + high) * advantage * n for r, n in zip(ratios(new, old), new, strict=True)]


def scalerl_cispo_tokens(new, old, advantage, *, high):
    return [min(r, high) * advantage * n for r, n in zip(ratios(new, old), new, strict=True)]


def sapo_tokens(new, old, advantage, *, positive, negative):
    tau = positive if advantage > 0 else negative
    return [4 / tau / (1 + math.exp(-tau * (r - 1))) * advantage for r in ratios(new, old)]


def gmpo_tokens(new, old, advantage, *, low, high):
    sign = (advantage > 0) - (advantage < 0)
    product = 1.0
    for ratio in ratios(new, old):
        clipped = clip(ratio, math.exp(-low), math.exp(high))
        product *= min(ratio**sign, clipped**sign) ** sign if sign else 1.0
    return [product ** (1 / len(new)) * advantage] * len(new)


# -- means over the batch -------------------------------------------------------------------------------------------


def sequence_mean(rows):
    return sum(sum(row) / len(row) if row else 0.0 for row in rows) / len(rows)


def token_mean(rows):
    return sum(sum(row) for row in rows) / sum(len(row) for row in rows)


def constant_length(length):
    return lambda rows: sum(sum(row) for row in rows) / (len(rows) * length)


def length_weighted(rows):
    return sum(len(row) * (sum(row) / len(row)) for row in rows if row) / len(rows)


def loss(batch, tokens, aggregate, *, beta=0.0, kl=k3, weights=None):
    """−aggregate(w·objective) + β·aggregate(KL)."""
    objectives, distances = [], []
    for p, group in enumerate(batch["mask"]):
        for g, kept in enumerate(group):
            real = [t for t, is_real in enumerate(kept) if is_real]
            new, old, ref = ([batch[name][p][g][t] for t in real] for name in ("logprobs", "old", "ref"))
            values = tokens(new, old, batch["advantages"][p][g]) if real else []
            weight = [1.0 if weights is None else weights[p][g][t] for t in real]
            objectives.append([w * value for w, value in zip(weight, values, strict=True)])
            distances.append([kl(n, r, o) for n, r, o in zip(new, ref, old, strict=True)])
    return -aggregate(objectives) + beta * aggregate(distances)
