"""Each loss on a batch small enough to work out on paper.

One prompt, two completions. All old probabilities are ½. The first has two tokens with ρ = 2 and ½, the second one
token with ρ = 3/2; advantages are A₁ and A₂ as each test says.
"""

import math

import pytest
import torch

from remot.losses import (
    BNPOLoss,
    CISPOLoss,
    DAPOLoss,
    DrGRPOLoss,
    GMPOLoss,
    GRPOLoss,
    GSPOLoss,
    LUSPOLoss,
    SAPOLoss,
    ScaleRLCISPOLoss,
    sequence_ratio,
)
from remot.losses.surrogate import clipped_surrogate, dual_clipped
from tests.helpers import assert_close

NEW = torch.tensor([[[1.0, 0.25], [0.75, 1.0]]], dtype=torch.float64)
OLD = torch.full((1, 2, 2), 0.5, dtype=torch.float64)
MASK = torch.tensor([[[True, True], [True, False]]])


def run(loss, first, second, new=NEW):
    """Loss and the derivatives by log π of the three tokens."""
    logprobs = new.log().requires_grad_()
    output = loss(logprobs, OLD.log(), None, torch.tensor([[first, second]], dtype=torch.float64), MASK)
    output.loss.backward()
    assert logprobs.grad[0, 1, 1] == 0
    return output, logprobs.grad[MASK].tolist()


def test_dapo():
    """A = 1, −1. Tokens: min(2, 1.28) = 1.28 clipped; min(½, 0.8) = ½; min(−1.5, −1.28) = −1.5.

    Sum 0.28 over 3 tokens, with a minus. Derivatives ρA/3 where not clipped: 0, −½/3, +1.5/3.
    """
    output, gradient = run(DAPOLoss(), 1, -1)
    assert_close(output.loss, -0.28 / 3)
    assert_close(gradient, [0, -1 / 6, 0.5])
    assert output.metrics["clip_fraction"] == pytest.approx(1 / 3)
    assert output.metrics["ratio_mean"] == pytest.approx((2 + 0.5 + 1.5) / 3)


def test_bnpo_has_the_same_room_on_both_sides():
    """1.2 instead of 1.28: sum 0.2."""
    output, gradient = run(BNPOLoss(), 1, -1)
    assert_close(output.loss, -0.2 / 3)
    assert_close(gradient, [0, -1 / 6, 0.5])


def test_dr_grpo():
    """The same terms over B·L = 2·10 = 20, whatever the lengths; logged ratios are still means: ½(5/4 + 3/2)."""
    loss = DrGRPOLoss(length=10)
    output, gradient = run(loss, 1, -1)
    assert loss.normalizer(MASK) == 20
    assert_close(output.loss, -0.2 / 20)
    assert_close(gradient, [0, -0.5 / 20, 1.5 / 20])
    assert output.metrics["ratio_mean"] == pytest.approx((1.25 + 1.5) / 2)
    assert output.metrics["clip_fraction"] == pytest.approx(0.25)


def test_gspo():
    """s₁ = sqrt(2·½) = 1, inside any clip: s₁A₁ = 2. s₂ = 1.5, A₂ = 1: clipped to 1.0004.

    Loss −½(2 + 1.0004). Each of the first completion's two tokens has half of −½·s₁A₁ = −1; the second is clipped.
    """
    output, gradient = run(GSPOLoss(), 2, 1)
    assert_close(output.loss, -1.5002)
    assert_close(gradient, [-0.5, -0.5, 0])
    assert output.metrics["clip_fraction"] == pytest.approx(0.5)
    assert output.metrics["ratio_mean"] == pytest.approx(1.25)


def test_gspo_clips_below_where_the_completion_was_bad():
    """s₁ = sqrt(1·¼ / ¼) = 1 with new probabilities 1, ¼; with ½, ⅛ it is ½: A₁ = −1 gives max(½, 1 − 3e-4)."""
    new = torch.tensor([[[0.5, 0.125], [0.5, 1.0]]], dtype=torch.float64)
    output, gradient = run(GSPOLoss(), -1, 0, new)
    assert_close(output.loss, (1 - 3e-4) / 2)
    assert_close(gradient, [0, 0, 0])


def test_the_sequence_ratio_is_a_geometric_mean_of_real_tokens():
    ratio = sequence_ratio(torch.where(MASK, NEW.log(), 7.0), torch.where(MASK, OLD.log(), 0.0), MASK)
    assert_close(ratio[MASK], [1, 1, 1.5])
    assert_close(
        sequence_ratio(torch.full((1, 1, 2), 30.0), torch.zeros(1, 1, 2), torch.ones(1, 1, 2).bool()),
        [[[math.exp(10)] * 2]],
    )


def test_luspo():
    """GSPO's terms 2 and 1.0025 (clip 2.5e-3) times the lengths 2 and 1: −½(4 + 1.0025); derivatives twice GSPO's."""
    output, gradient = run(LUSPOLoss(), 2, 1)
    assert_close(output.loss, -(4 + 1.0025) / 2)
    assert_close(gradient, [-1, -1, 0])
    assert output.metrics["ratio_mean"] == pytest.approx(1.25)


def test_gmpo():
    """Bounds e^±0.4. A₁ = 1: min(2, e^0.4) = e^0.4 clipped, min(½, e^-0.4) = ½: mean sqrt(½e^0.4).

    A₂ = −1: the other side, max(3/2, e^0.4 = 1.4918) = 3/2. Loss −½(sqrt(½e^0.4) − 1.5).
    """
    output, gradient = run(GMPOLoss(), 1, -1)
    mean = math.sqrt(0.5 * math.exp(0.4))
    assert_close(output.loss, -(mean - 1.5) / 2)
    assert_close(gradient, [0, -mean / 4, 0.75])


def test_cispo_two_sided():
    """ε 0.6, 0.2: weights clip(2) = 1.2, clip(½) = ½, clip(3/2) = 1.2. A = 1, −1. No token loses the gradient.

    Loss −(1.2·ln 1 + ½·ln ¼ − 1.2·ln ¾)/3; derivatives −1.2/3, −½/3, +1.2/3.
    """
    output, gradient = run(CISPOLoss(clip_low=0.6), 1, -1)
    assert_close(output.loss, -(0.5 * math.log(0.25) - 1.2 * math.log(0.75)) / 3)
    assert_close(gradient, [-0.4, -0.5 / 3, 0.4])
    assert output.metrics["clip_fraction"] == pytest.approx(2 / 3)


def test_cispo_has_a_lower_bound_only_if_asked():
    """ρ = ½ has weight ½ by default, 0.9 with ε_low 0.1."""
    assert_close(run(CISPOLoss(), 1, 0)[1][1], -0.5 / 3)
    assert_close(run(CISPOLoss(clip_low=0.1), 1, 0)[1][1], -0.9 / 3)


def test_cispo_of_scalerl_bounds_the_ratio_itself():
    """1.6 is a value of ρ, not a distance from 1: weights 1.6, ½ and 3/2. By default, 5, nothing here is bounded."""
    assert_close(run(ScaleRLCISPOLoss(1.6), 1, -1)[1], [-1.6 / 3, -0.5 / 3, 0.5])
    assert_close(run(ScaleRLCISPOLoss(), 1, -1)[1], [-2 / 3, -0.5 / 3, 0.5])
    assert_close(run(CISPOLoss(clip_high=1.6), 1, -1)[1], [-2 / 3, -0.5 / 3, 0.5])  # up to 2.6


def test_sapo():
    """A₁ = 1, τ = 1: 4σ(1), 4σ(−½). A₂ = −1, τ = 2: −2σ(1). Slopes 4σ(1 − σ)·A·ρ."""

    def sigma(x):
        return 1 / (1 + math.exp(-x))

    output, gradient = run(SAPOLoss(1.0, 2.0), 1, -1)
    assert_close(output.loss, -((4 * sigma(1) + 4 * sigma(-0.5)) / 2 - 2 * sigma(1)) / 2)
    slopes = [4 * sigma(x) * (1 - sigma(x)) for x in (1, -0.5, 1)]
    assert_close(gradient, [-slopes[0] * 2 / 4, -slopes[1] * 0.5 / 4, slopes[2] * 1.5 / 2])


def test_two_sided_clipping():
    """A = −1: ρ = 5 is bounded by δ = 4, so −4 and no gradient; ρ = 3 is not, as PPO has it. A = 1: as PPO."""
    ratio, advantages = torch.tensor([5.0, 3.0, 5.0]), torch.tensor([-1.0, -1.0, 1.0])
    objective, is_clipped = clipped_surrogate(ratio, advantages, 0.2, 0.2, delta=4.0)
    assert_close(objective, [-4, -3, 1.2])
    assert is_clipped.tolist() == [True, False, True]


def test_dual_clipping():
    """A = −2: ρ = 5 gives −10, bounded by c·A = −6; ρ = ½ is clipped to −1.6 as before. A = 2: as PPO."""
    ratio, advantages = torch.tensor([5.0, 0.5, 5.0]), torch.tensor([-2.0, -2.0, 2.0])
    terms = clipped_surrogate(ratio, advantages, 0.2, 0.2)
    objective, is_clipped = dual_clipped(*terms, advantages, 3.0)
    assert_close(objective, [-6, -1.6, 2.4])
    assert is_clipped.tolist() == [True, True, True]
    assert terms[1].tolist() == [False, True, True]


def test_dual_clip_and_delta_are_one_thing():
    ratio = torch.linspace(0.1, 6, 60, dtype=torch.float64)
    for sign in (1.0, -1.0):
        advantages = torch.full_like(ratio, sign)
        two_sided = clipped_surrogate(ratio, advantages, 0.2, 0.2, delta=3.0)
        dual = dual_clipped(*clipped_surrogate(ratio, advantages, 0.2, 0.2), advantages, 3.0)
        assert_close(two_sided[0], dual[0])
        assert torch.equal(two_sided[1], dual[1])


def test_options_reach_the_loss():
    """ρ = 3/2 with A₂ = −1 and a bound of 1.3: −1.3 without a gradient, in GRPO's mean over two completions."""
    for bounded in (GRPOLoss(beta=0, delta=1.3), GRPOLoss(beta=0, dual_clip=1.3)):
        output, gradient = run(bounded, 0, -1)
        assert_close(output.loss, 1.3 / 2)
        assert_close(gradient, [0, 0, 0])
