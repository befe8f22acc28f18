"""GRPO written out token by token (arXiv 2402.03300, eq. 3 and 4)."""

import math
from statistics import mean, pstdev, stdev


def advantages(rewards, eps, *, unbiased):
    result = []
    for group in rewards:
        deviation = stdev(group) if unbiased else pstdev(group)
        result.append([(reward - mean(group)) / (deviation + eps) for reward in group])
    return result


def k3(logprob, ref_logprob):
    ratio = math.exp(ref_logprob) / math.exp(logprob)
    return ratio - math.log(ratio) - 1


def token_loss(logprob, old_logprob, ref_logprob, advantage, clip_low, clip_high, beta):
    ratio = math.exp(logprob) / math.exp(old_logprob)
    clipped = min(max(ratio, 1 - clip_low), 1 + clip_high)
    return -(min(ratio * advantage, clipped * advantage) - beta * k3(logprob, ref_logprob))


def grpo_loss(logprobs, old_logprobs, ref_logprobs, advantages, mask, *, clip_low, clip_high, beta, aggregation):
    """Nested lists [P][G][T] in, a number out."""
    sequences = []
    for p, group in enumerate(logprobs):
        for g, completion in enumerate(group):
            sequences.append(
                [
                    token_loss(
                        completion[t],
                        old_logprobs[p][g][t],
                        ref_logprobs[p][g][t],
                        advantages[p][g],
                        clip_low,
                        clip_high,
                        beta,
                    )
                    for t in range(len(completion))
                    if mask[p][g][t]
                ]
            )
    if aggregation == "token_mean":
        return mean(loss for sequence in sequences for loss in sequence)
    return mean(mean(sequence) if sequence else 0.0 for sequence in sequences)
