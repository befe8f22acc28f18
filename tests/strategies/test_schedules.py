import pytest

from remot.errors import ConfigError
from remot.strategies import DPO, GRPO, SFT, AlternatingSFTGRPO, SFTThenDPO, SFTThenGRPO


@pytest.mark.parametrize(
    ("strategy", "phases_of_ten_steps"),
    [
        (SFT(), "SSSSSSSSSS"),
        (GRPO(), "GGGGGGGGGG"),
        (DPO(), "DDDDDDDDDD"),
        (SFTThenDPO(sft_steps=3), "SSSDDDDDDD"),
        (SFTThenGRPO(sft_steps=1), "SGGGGGGGGG"),
        (SFTThenGRPO(sft_steps=4), "SSSSGGGGGG"),
        (SFTThenGRPO(), "SSSSSSSSSS"),  # 20 steps by default
        (AlternatingSFTGRPO(), "SGGGSGGGSG"),
        (AlternatingSFTGRPO(k_sft=1, k_grpo=1), "SGSGSGSGSG"),
        (AlternatingSFTGRPO(k_sft=2, k_grpo=3), "SSGGGSSGGG"),
        (AlternatingSFTGRPO(k_sft=3, k_grpo=1), "SSSGSSSGSS"),
    ],
)
def test_phase_by_table(strategy, phases_of_ten_steps):
    """S where t mod (k_sft + k_grpo) < k_sft; the same in any order, as a phase depends on the step alone."""
    letters = {step: strategy.phase(step)[0] for step in reversed(range(10))}
    assert "".join(letters[step] for step in range(10)) == phases_of_ten_steps


def test_the_warm_up_ends():
    assert [SFTThenGRPO().phase(step) for step in (19, 20, 10_000)] == ["SFT", "GRPO", "GRPO"]


@pytest.mark.parametrize(
    ("strategy", "phases"),
    [
        (SFT(), {"SFT"}),
        (GRPO(), {"GRPO"}),
        (DPO(), {"DPO"}),
        (SFTThenDPO(2), {"SFT", "DPO"}),
        (SFTThenGRPO(2), {"SFT", "GRPO"}),
        (AlternatingSFTGRPO(2, 1), {"SFT", "GRPO"}),
    ],
)
def test_phases_are_those_that_occur(strategy, phases):
    assert set(strategy.phases) == {strategy.phase(step) for step in range(50)} == phases
    assert strategy.name == type(strategy).__name__


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: SFTThenGRPO(0), "sft_steps"),
        (lambda: SFTThenDPO(0), "the strategy DPO"),
        (lambda: AlternatingSFTGRPO(0, 1), "k_sft"),
        (lambda: AlternatingSFTGRPO(1, 0), "k_grpo"),
    ],
)
def test_a_phase_of_no_steps_is_an_error(build, key):
    with pytest.raises(ConfigError, match=key):
        build()


@pytest.mark.parametrize(
    ("strategy", "taken_at"),
    [
        (SFT(), "----------"),
        (GRPO(), "----------"),
        (GRPO(reference="phase_start"), "0000000000"),  # the policy that the run began with
        (SFTThenDPO(3), "---3333333"),
        (DPO(reference="phase_start"), "0000000000"),
        (DPO(), "----------"),
        (SFTThenGRPO(3), "---3333333"),  # by default the policy that SFT has made
        (SFTThenGRPO(3, reference="base"), "----------"),
        (AlternatingSFTGRPO(1, 3), "----------"),  # by default the base model
        (AlternatingSFTGRPO(1, 3, reference="phase_start"), "-111-555-9"),
        (AlternatingSFTGRPO(2, 1, reference="phase_start"), "--2--5--8-"),
    ],
)
def test_reference_by_table(strategy, taken_at):
    """The step at whose start the reference of each step is taken; no matter in which order the steps are asked."""
    wanted = [None if letter == "-" else int(letter) for letter in taken_at]
    assert [strategy.reference_step(step) for step in reversed(range(10))] == wanted[::-1]


def test_a_phase_that_goes_on_has_one_beginning():
    assert SFTThenGRPO(20).reference_step(5000) == 20
