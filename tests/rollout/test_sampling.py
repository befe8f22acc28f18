import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chi2, chisquare
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from remot.errors import ConfigError
from remot.rollout.sampling import (
    GREEDY,
    SamplingSettings,
    draw,
    inverse_of_cumulative,
    truncation_mask,
    uniform_noise,
)
from remot.seeding import derive_seed
from tests.helpers import assert_close
from tests.reference.sampling import drawn_token, kept_tokens

PLAIN = SamplingSettings()
#: The largest double below 1, the last uniform number there is.
ALMOST_ONE = math.nextafter(1.0, 0.0)


def log_of(*shares):
    """Logits of a distribution given by its shares; a share of 0 is -inf."""
    return torch.log(torch.tensor(shares, dtype=torch.float32))


def drawn(logits, uniforms, settings=PLAIN):
    """Tokens for one distribution and many uniform numbers."""
    uniforms = torch.tensor(uniforms, dtype=torch.float64)
    return draw(logits.expand(len(uniforms), -1), uniforms, settings)[0].tolist()


# -- one number, one token -----------------------------------------------------------------------------------------


def test_inverse_of_the_cumulative_distribution_by_hand():
    """Shares 1/2, 1/4, 1/4: the steps of the distribution are at 0.5 and 0.75, each belonging to what follows."""
    uniforms = [0.0, 0.25, 0.4999, 0.5001, 0.7499, 0.7501, 0.9999, ALMOST_ONE]
    assert drawn(log_of(0.5, 0.25, 0.25), uniforms) == [0, 0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_sharpens(temperature):
    """Shares 4 : 1 become 4^(1/T) : 1; the step lies there."""
    step = 4 ** (1 / temperature) / (4 ** (1 / temperature) + 1)
    settings = SamplingSettings(temperature=temperature)
    assert drawn(log_of(0.8, 0.2), [step - 1e-5, step + 1e-5], settings) == [0, 1]


@pytest.mark.parametrize("banned", [(0,), (0, 1), (3,), (2, 3), (0, 3), (1, 2)])
def test_a_token_without_probability_is_never_drawn(banned):
    """Not even by the two ends of the unit interval."""
    logits = log_of(*(0.0 if token in banned else 0.25 for token in range(4)))
    uniforms = [0.0, 1e-300, 0.25, 0.5, 0.75, ALMOST_ONE]
    assert not set(drawn(logits, uniforms)) & set(banned)


@given(
    logits=st.lists(st.floats(-80, 80, width=32), min_size=2, max_size=12),
    banned=st.sets(st.integers(0, 11), max_size=8),
    uniform=st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, ALMOST_ONE])),
    settings=st.builds(
        SamplingSettings,
        temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
        top_k=st.integers(0, 5),
        top_p=st.sampled_from([0.1, 0.9, 1.0]),
        min_p=st.sampled_from([0.0, 0.2, 1.0]),
    ),
)
def test_what_is_drawn_is_always_allowed(logits, banned, uniform, settings):
    logits = torch.tensor(logits)
    blocked = torch.tensor([token in banned for token in range(len(logits))])
    if blocked.all():
        blocked[0] = False
    logits = logits.masked_fill(blocked, -torch.inf)[None]
    tokens, logprobs = draw(logits, torch.tensor([uniform], dtype=torch.float64), settings)
    assert not blocked[tokens[0]]
    if not settings.is_greedy:  # of several best ones greedy decoding may take one that truncation would not
        kept = truncation_mask(logits / settings.temperature, settings)[0]  # log_softmax would round to further ties
        assert kept[tokens[0]]
    assert logprobs.isfinite().all()


#: Logits of a few levels, so that ties are common; any two that differ do so by far more than rounding.
LOGITS = st.lists(
    st.one_of(
        st.sampled_from([-3.0, 0.0, 1.5]), st.integers(-60, 60).map(lambda tenths: tenths / 10), st.just(-math.inf)
    ),
    min_size=1,
    max_size=24,
).filter(lambda logits: max(logits) > -math.inf)
SETTINGS = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.3, 1.0, 2.0]),
        "top_k": st.integers(0, 8),
        "top_p": st.sampled_from([0.05, 0.5, 0.9, 1.0]),
        "min_p": st.sampled_from([0.0, 0.05, 0.5]),
    }
)


@given(logits=LOGITS, uniform=st.floats(0, 1, exclude_max=True), settings=SETTINGS)
def test_drawn_as_the_definitions_say(logits, uniform, settings):
    """Against loops over sorted lists in numpy; edges closer than float32 resolves are left out."""
    device_logits = torch.tensor(logits, dtype=torch.float32)
    kept, shares = kept_tokens(logits, **settings)
    best = kept_tokens(logits, **settings | {"top_p": 1.0, "min_p": 0.0})[0]  # what top_k leaves
    reached = np.cumsum(sorted(shares[token] for token in best)) / sum(shares[token] for token in best)
    assume(min(abs(1 - reached - settings["top_p"])) > 1e-5)
    assume(min(abs(shares - settings["min_p"] * shares.max())) > 1e-5 or settings["min_p"] == 0)
    tempered = torch.log_softmax(device_logits / settings["temperature"], -1)
    mask = truncation_mask(tempered, SamplingSettings(**settings))
    assert set(mask.nonzero()[:, 0].tolist()) == kept
    token, logprob, distance = drawn_token(logits, uniform, **settings)
    assume(distance > 1e-5)
    tokens, logprobs = draw(
        device_logits[None], torch.tensor([uniform], dtype=torch.float64), SamplingSettings(**settings)
    )
    assert tokens.tolist() == [token]
    assert logprobs.tolist() == pytest.approx([logprob], abs=1e-5)


def test_a_sum_that_rises_at_a_token_of_no_weight_draws_the_likeliest():
    """As a sum made in blocks may: the second block's base is an ulp above the first one's end, or below it."""
    weights = torch.tensor([[0.25, 0.75, 0.0, 0.0]], dtype=torch.float64)
    up = torch.tensor([[0.25, 1.0, 1.0 + 2**-50, 1.0 + 2**-50]], dtype=torch.float64)
    down = torch.tensor([[0.25, 1.0, 1.0 - 2**-50, 1.0 - 2**-50]], dtype=torch.float64)
    for cumulative in (up, down):
        uniforms = torch.tensor([ALMOST_ONE], dtype=torch.float64)
        assert inverse_of_cumulative(weights, cumulative, uniforms).tolist() == [1]
    assert inverse_of_cumulative(weights, up, torch.tensor([0.2], dtype=torch.float64)).tolist() == [0]


@pytest.mark.needs_cuda
def test_a_gpu_draws_the_same_tokens():
    """Of a vocabulary of real size, with and without truncation."""
    logits = 3 * torch.randn(64, 151_936, generator=torch.Generator().manual_seed(0))
    logits[:, 7::11] = -torch.inf
    uniforms = uniform_noise(0, 0, ["gpu"], 1, 64)[0, 0]
    for settings in (PLAIN, SamplingSettings(temperature=0.7, top_k=50, top_p=0.9, min_p=0.01)):
        here, _ = draw(logits, uniforms, settings)
        there, _ = draw(logits.cuda(), uniforms.cuda(), settings)
        assert (here == there.cpu()).float().mean() > 0.98  # float32 softmax differs in the last place
        assert logits.gather(-1, there.cpu()[:, None]).isfinite().all()


def test_frequencies_match_the_distribution():
    """A chi-square test of 20 000 draws, and the same test for a distribution that is off by a tenth."""
    shares = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
    uniforms = uniform_noise(3, 0, ["frequencies"], 1, 20_000)[0, 0]
    tokens, _ = draw(log_of(*shares, 0.0).expand(len(uniforms), -1), uniforms, PLAIN)
    counts = np.bincount(tokens.numpy(), minlength=6)
    assert counts[5] == 0
    assert chisquare(counts[:5], shares * len(uniforms)).pvalue > 0.01
    wrong = np.array([0.36, 0.29, 0.2, 0.1, 0.05])
    assert chisquare(counts[:5], wrong * len(uniforms)).pvalue < 1e-6


def test_rows_are_drawn_each_for_itself():
    logits = torch.stack([log_of(0.9, 0.1), log_of(0.1, 0.9)])
    tokens, logprobs = draw(logits, torch.tensor([0.5, 0.5], dtype=torch.float64), PLAIN)
    assert tokens.tolist() == [0, 1]
    assert_close(logprobs, [math.log(0.9)] * 2, rtol=1e-5)


# -- greedy and truncation -----------------------------------------------------------------------------------------


def test_greedy_takes_the_best_whatever_the_number():
    assert drawn(log_of(0.3, 0.4, 0.3), [0.0, 0.5, ALMOST_ONE], GREEDY) == [1, 1, 1]
    _, logprobs = draw(log_of(0.3, 0.4, 0.3)[None], torch.zeros(1), GREEDY)
    assert_close(logprobs, [math.log(0.4)], rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, "ABCD"),
        ({"top_k": 2, "top_p": 0.55}, "A"),  # of A and B, A holds 4/7 = 0.571
        ({"top_k": 2, "top_p": 0.58}, "AB"),
        ({"top_k": 3, "top_p": 0.76}, "AB"),  # of A, B and C, A and B hold 7/9 = 0.778
        ({"top_k": 1}, "A"),
        ({"top_k": 2}, "AB"),
        ({"top_k": 4}, "ABCD"),
        ({"top_k": 9}, "ABCD"),
        ({"top_p": 0.01}, "A"),  # the best one always stays
        ({"top_p": 1e-9}, "A"),  # 1 - top_p is 1 in float32
        ({"top_p": 0.39}, "A"),
        ({"top_p": 0.41}, "AB"),  # 0.4 is not yet 0.41
        ({"top_p": 0.69}, "AB"),
        ({"top_p": 0.71}, "ABC"),
        ({"top_p": 0.91}, "ABCD"),
        ({"min_p": 0.26}, "ABC"),  # at least 0.26 * 0.4 = 0.104
        ({"min_p": 0.24}, "ABCD"),
        ({"min_p": 0.51}, "AB"),
        ({"min_p": 1.0}, "A"),
        ({"top_k": 3, "min_p": 0.7}, "AB"),
        ({"top_k": 2, "top_p": 0.95}, "AB"),
    ],
)
def test_truncation_by_hand(settings, kept):
    """Shares A 0.4, B 0.3, C 0.2, D 0.1, in another order, beside a token that is banned."""
    order = "CADB"
    shares = {"A": 0.4, "B": 0.3, "C": 0.2, "D": 0.1}
    logprobs = log_of(*(shares[letter] for letter in order), 0.0)
    mask = truncation_mask(logprobs, SamplingSettings(**settings)).tolist()
    assert {letter for letter, keep in zip(order, mask, strict=False) if keep} == set(kept)
    assert mask[-1] is False


def test_truncated_draws_share_the_rest_and_report_the_whole():
    """Of 0.4, 0.3, 0.2, 0.1 with top_k 2 the step is at 4/7; the log-probability is still that of 0.3."""
    logits, settings = log_of(0.4, 0.3, 0.2, 0.1), SamplingSettings(top_k=2)
    assert drawn(logits, [0.0, 4 / 7 - 1e-5, 4 / 7 + 1e-5, ALMOST_ONE], settings) == [0, 0, 1, 1]
    _, logprobs = draw(logits[None], torch.tensor([0.9]), settings)
    assert_close(logprobs, [math.log(0.3)], rtol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"temperature": math.nan},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SamplingSettings(**wrong)


def test_what_the_settings_say_of_themselves():
    assert GREEDY.is_greedy
    assert not PLAIN.is_greedy
    assert not PLAIN.truncates
    assert SamplingSettings(top_k=1).truncates
    assert SamplingSettings(top_p=0.5).truncates
    assert SamplingSettings(min_p=0.5).truncates


def of_transformers(scores, settings):
    """Scores [B, V] after transformers' own warpers, in the order that its ``generate`` applies them."""
    warpers = [TopKLogitsWarper(settings.top_k)] if settings.top_k else []
    warpers += [TopPLogitsWarper(settings.top_p)] if settings.top_p < 1 else []
    warpers += [MinPLogitsWarper(settings.min_p)] if settings.min_p else []
    for warper in warpers:
        scores = warper(None, scores)
    return scores


#: 300 rows: one third random, one third of few levels and so full of ties, one third with tokens that are never drawn.
ROWS = torch.randn(300, 40, generator=torch.Generator().manual_seed(5)) * 2
ROWS[100:200] = ROWS[100:200].round()
ROWS[200:, ::3] = -torch.inf
TIED = torch.arange(300) // 100 == 1


@pytest.mark.parametrize("top_k", [0, 1, 5, 20, 40, 99])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("min_p", [0.0, 0.1])
def test_the_support_is_that_of_transformers(top_k, top_p, min_p):
    """Token by token where no two are equal; of equal ones as many, since transformers' sort leaves open which."""
    settings = SamplingSettings(temperature=0.7, top_k=top_k, top_p=top_p, min_p=min_p)
    scores = ROWS / settings.temperature
    wanted, kept = of_transformers(scores, settings).isfinite(), truncation_mask(scores, settings)
    assert torch.equal(kept[~TIED], wanted[~TIED])
    best_first = [scores.masked_fill(~mask, -torch.inf).sort(descending=True).values for mask in (kept, wanted)]
    assert torch.equal(*best_first)
    assert torch.equal(truncation_mask(scores[7], settings), wanted[7])


def test_equal_tokens_are_cut_as_in_transformers():
    """Of five equal tokens with top_p 0.8 four stay, though 0.2 is no binary fraction."""
    settings = SamplingSettings(top_p=0.8)
    assert of_transformers(torch.zeros(1, 5), settings).isfinite().sum() == 4
    assert truncation_mask(torch.zeros(1, 5), settings).tolist() == [[True, True, True, True, False]]


def test_frequencies_after_both_cuts_are_those_of_transformers():
    """Chi-square of 20 000 draws at k 20, p 0.95; nothing outside of the support, which a cut by all tokens widens."""
    settings = SamplingSettings(temperature=1.5, top_k=20, top_p=0.95)
    logits = ROWS[:1]
    shares = of_transformers(logits / settings.temperature, settings).softmax(-1)[0].double().numpy()
    uniforms = uniform_noise(3, 0, ["both"], 1, 20_000)[0, 0]
    tokens, _ = draw(logits.expand(len(uniforms), -1), uniforms, settings)
    counts = np.bincount(tokens.numpy(), minlength=len(shares))
    support = shares > 0
    assert counts[~support].sum() == 0
    statistic = ((counts - shares * len(uniforms))[support] ** 2 / (shares[support] * len(uniforms))).sum()
    assert statistic < chi2.ppf(0.999, support.sum() - 1)


# -- noise ---------------------------------------------------------------------------------------------------------


def test_noise_is_addressed():
    """A row is the stream of (seed, "rollout", step, prompt, sample), in double precision."""
    noise = uniform_noise(5, 7, ["p", "q"], 3, 4)
    assert noise.shape == (2, 3, 4)
    assert noise.dtype == torch.float64
    for p, prompt in enumerate(("p", "q")):
        for g in range(3):
            stream = np.random.default_rng(derive_seed(5, "rollout", 7, prompt, g)).random(4)
            assert noise[p, g].tolist() == stream.tolist()
    assert len(set(noise.flatten().tolist())) == noise.numel()


def test_noise_of_a_prompt_does_not_depend_on_its_company():
    whole = uniform_noise(1, 2, ["a", "b", "c"], 4, 6)
    assert torch.equal(uniform_noise(1, 2, ["b"], 4, 6)[0], whole[1])
    assert torch.equal(uniform_noise(1, 2, ["c", "a"], 2, 6), whole[[2, 0], :2])
    assert torch.equal(uniform_noise(1, 2, ["a", "b", "c"], 4, 3), whole[..., :3])


@pytest.mark.parametrize("address", [(2, 2, ["a"]), (1, 3, ["a"]), (1, 2, ["b"])])
def test_noise_differs_with_every_part_of_the_address(address):
    assert not (uniform_noise(1, 2, ["a"], 2, 6) == uniform_noise(*address, 2, 6)).any()
