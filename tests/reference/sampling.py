"""One token from one distribution, as the definitions say it: sorted lists and loops, in double precision."""

import math

import numpy as np


def kept_tokens(logits, *, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
    """Ids that may be drawn, and the tempered probabilities of all."""
    logits = np.asarray(logits, dtype=np.float64) / temperature
    shares = np.exp(logits - logits.max())
    shares = shares / shares.sum()
    best_first = sorted(range(len(shares)), key=lambda token: (-shares[token], token))
    kept = {token for token in best_first if shares[token] > 0}
    if top_k > 0:
        worst = shares[best_first[min(top_k, len(shares)) - 1]]
        kept &= {token for token in best_first if shares[token] >= worst}
    if top_p < 1:  # as in transformers: the worst go while they hold at most 1 - top_p of what is left
        left, gone = math.fsum(shares[token] for token in kept), 0.0
        best = max(kept, key=lambda token: (shares[token], -token))
        for token in sorted(kept, key=lambda token: (shares[token], -token)):
            gone += shares[token] / left
            if gone <= 1 - top_p and token != best:
                kept = kept - {token}
    if min_p > 0:
        kept &= {token for token in best_first if shares[token] >= min_p * shares.max()}
    return kept, shares


def drawn_token(logits, uniform, **settings):
    """The token whose step of the cumulative distribution of what is kept holds ``uniform``.

    Returns:
        The token, its tempered log-probability before truncation, and how far ``uniform`` is from the nearest edge.
    """
    kept, shares = kept_tokens(logits, **settings)
    total = math.fsum(shares[token] for token in kept)
    edges, token, reached = [], None, 0.0
    for candidate in sorted(kept):
        reached += shares[candidate] / total
        edges.append(reached)
        if token is None and uniform < reached:
            token = candidate
    token = max(kept) if token is None else token
    return token, math.log(shares[token]), min(abs(uniform - edge) for edge in edges)
