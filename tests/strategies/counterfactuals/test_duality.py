"""Operations with a known effect on answers: the map is what happens to the truth; the pool follows consistency."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from remot.errors import ConfigError
from remot.losses import GRPOLoss
from remot.motion import CONSISTENT_TRIPLES
from remot.rewards import CompositeReward, DualityReward
from remot.strategies import (
    DualityOperations,
    ExchangedOptions,
    GRPOObjective,
    MirroredView,
    Operation,
    ReversedOrder,
)
from remot.strategies.counterfactuals.base import PromptInput
from remot.strategies.counterfactuals.duality import agreement
from remot.strategies.counterfactuals.operations import ALL_OPERATIONS, answer_map
from remot.structures import MotionLabel, Question, Slot, reference_of, with_counterfactuals
from tests.data.made import data_module
from tests.helpers import make_question, make_slot, respond
from tests.strategies.grpo.test_objective import ADDRESS, FirstLetterReward
from tests.strategies.test_module import ready_module
from tests.tiny import make_batch, make_policy, make_video

RANDOM = np.random.default_rng(0)
LINES = ("first, 1 to 2: ", "second, 1 to 3: ", "third, 2 to 3: ")


def pictures(count):
    """Two columns of different levels; image k is brighter than the one before."""
    return [torch.tensor([10 * k, 10 * k + 5], dtype=torch.uint8).expand(3, 2, 2).clone() for k in range(count)]


def asked(attribute, options, truth, subject=""):
    """The question about three pairs with options in these orders, and its right letters."""
    pairs = ((1, 2), (1, 3), (2, 3))
    slots = tuple(
        Slot(MotionLabel(pair, attribute, value, 1.0, "metres", subject), order, "ABC"[order.index(value)])
        for pair, order, value in zip(pairs, options, truth, strict=True)
    )
    listed = [", ".join(f"{letter} {option}" for letter, option in zip("ABC", order, strict=True)) for order in options]
    text = (
        "Which way, up or down?\n" + "\n".join(head + one for head, one in zip(LINES, listed, strict=True)) + "\nNow."
    )
    return Question("q", text, slots, "test", "s")


def show(question, count=3):
    return PromptInput(pictures(count), [], question.text, question)


def applied(operation, question, count=3):
    return operation.apply(show(question, count), question)


# -- what the map says ---------------------------------------------------------------------------------------------


def test_map_of_one_question_by_hand():
    """Left and right change places and the third stays."""
    question = make_question("A", pairs=[(1, 2)])
    assert [slot.options for slot in question.slots] == [("right", "left", "none")]
    changed = applied(MirroredView(), question, 2)
    assert changed.answer_map == {"A": "B", "B": "A", "C": "C"}
    assert changed.change == "mirrored"
    assert [image[0, 0].tolist() for image in changed.images] == [[5, 0], [15, 10]]
    assert changed.text == question.text


def test_map_of_pairs_that_change_places_by_hand():
    """1 to 2 was right, 1 to 3 none, 2 to 3 left. Backwards, 1 to 2 is what 3 to 2 was: right; 1 to 3 is 3 to 1."""
    question = make_question("ACB")
    changed = applied(ReversedOrder(), question)
    assert changed.answer_map["ACB"] == "ACB"  # there and back again looks the same backwards
    assert changed.answer_map["AAC"] == "CBB"  # right and stays: backwards stays, then left
    assert len(changed.answer_map) == 27
    assert [image[0, 0, 0].item() for image in changed.images] == [20, 10, 0]


def test_options_that_change_places_by_hand():
    options = [("up", "none", "down"), ("none", "up", "down"), ("down", "up", "none")]
    question = asked("object_vertical", options, ("up", "none", "down"), "cup")
    changed = applied(ExchangedOptions(), question)
    assert changed.text.splitlines() == [
        "Which way, up or down?",
        "first, 1 to 2: A down, B none, C up",
        "second, 1 to 3: A none, B down, C up",
        "third, 2 to 3: A up, B down, C none",
        "Now.",
    ]
    assert question.solution == "AAA"
    assert changed.answer_map["AAA"] == "CAB"
    assert all(torch.equal(one, other) for one, other in zip(changed.images, pictures(3), strict=True))


WORDS = {1: "right", -1: "left", 0: "none"}


def letters_of(signs, options):
    return "".join("ABC"[order.index(WORDS[sign])] for sign, order in zip(signs, options, strict=True))


def signs_of(places):
    """1 where the later image's place is farther to the right."""
    return [int(np.sign(places[b] - places[a])) for a, b in ((0, 1), (0, 2), (1, 2))]


@pytest.mark.parametrize("seed", range(8))
def test_maps_are_what_becomes_of_the_truth(seed):
    """A thing at three places: what is true of it mirrored, and in reverse order, is where the map sends its truth."""
    generator = np.random.default_rng(seed)
    options = [tuple(generator.permutation(["right", "left", "none"]).tolist()) for _ in range(3)]
    seen = set()
    for places in np.ndindex(3, 3, 3):
        signs = signs_of(places)
        seen.add(tuple(signs))
        question = asked("object_horizontal", options, [WORDS[sign] for sign in signs], "cup")
        truth = letters_of(signs, options)
        mirrored = applied(MirroredView(), question).answer_map[truth]
        assert mirrored == letters_of(signs_of([-place for place in places]), options)
        backwards = applied(ReversedOrder(), question).answer_map[truth]
        assert backwards == letters_of(signs_of(places[::-1]), options)
        exchanged = applied(ExchangedOptions(), question)
        told = [line.split(": ")[1].split(", ") for line in exchanged.text.splitlines()[1:4]]
        letter_of = [{option.split()[1]: option.split()[0] for option in line} for line in told]
        wanted = "".join(of[WORDS[sign]] for of, sign in zip(letter_of, signs, strict=True))
        assert exchanged.answer_map[truth] == wanted
    assert seen == set(CONSISTENT_TRIPLES)


@pytest.mark.parametrize("operation", ALL_OPERATIONS.values())
def test_maps_undo_themselves(operation):
    """Mirrored, reversed or exchanged twice is as it was."""
    question = asked("camera_yaw", [("right", "none", "left")] * 3, ("right", "right", "none"))
    answers = applied(operation, question).answer_map
    assert sorted(answers) == sorted(answers.values())
    assert all(answers[answers[answer]] == answer for answer in answers)
    assert any(answers[answer] != answer for answer in answers)


def test_real_prompts():
    """Of the embedded clips every question about motion can be reversed and have its options exchanged."""
    data = data_module(root=None, batch_size=64)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    for question, images in zip(batch.questions, batch.images, strict=True):
        shown = PromptInput(images, [], question.text, question)
        changed = [operation.apply(shown, question) for operation in ALL_OPERATIONS.values()]
        assert all(one is not None and question.solution in one.answer_map for one in changed)
        assert changed[2].text != question.text
        assert len(changed[2].text) == len(question.text)


# -- where nothing is known ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "question", "why"),
    [
        (MirroredView(), make_question("ABB", "gripper", subject="Left arm"), "the left arm is the other one then"),
        (ReversedOrder(), make_question("A", "mask_frame", pairs=[(1, 2)]), "a mask is not a moment"),
        (ReversedOrder(), make_question("AB", pairs=[(1, 2), (1, 3)]), "2 to 3 is not asked"),
        (ExchangedOptions(), make_question("ABB"), "the text lists no options"),
        *((operation, Question("q", "?", (), "d", "s"), "no slots") for operation in ALL_OPERATIONS.values()),
        *(
            (operation, replace(make_question("A"[:1], pairs=[(1, 2)]), slots=(slot,)), "no motion is chosen")
            for operation in ALL_OPERATIONS.values()
            for slot in (
                replace(make_slot("A", (1, 2)), options=(), tolerance=1.0, gold="3.0"),
                replace(make_slot("A", (1, 2)), options=("true", "false"), letters="TF", gold="T"),
                replace(make_slot("A", (1, 2)), options=("right", "right", "none")),
            )
        ),
    ],
)
def test_operations_say_nothing_where_nothing_is_known(operation, question, why):
    assert applied(operation, question, 3 if len(question.slots) > 1 else 2) is None, why


def test_an_option_that_is_missing_has_no_map():
    """Without left among the options nothing is known of a mirrored right."""
    slot = replace(make_slot("A", (1, 2)), options=("right", "none"))
    assert answer_map([slot], [slot], lambda values: tuple({"right": "left"}.get(v, v) for v in values)) is None
    assert applied(MirroredView(), replace(make_question("A", pairs=[(1, 2)]), slots=(slot,)), 2) is None
    many = [make_slot("A", (1, 2))] * 8
    assert answer_map(many, many, lambda values: values) is None  # 6561 answers
    assert len(answer_map(many[:7], many[:7], lambda values: values)) == 2187


def test_videos_are_left_alone():
    question = make_question("ABB")
    shown = PromptInput([], [make_video(4)], question.text, question)
    assert MirroredView().apply(shown, question) is None
    assert ReversedOrder().apply(shown, question) is None
    assert DualityOperations().change(PromptInput(pictures(3), [], "?"), RANDOM) is None


# -- the pool ------------------------------------------------------------------------------------------------------


class Never(Operation):
    """Applies to nothing."""

    name = "never"

    def apply(self, shown, question):  # noqa: ARG002
        return None


def test_operations_are_drawn_by_the_pool_and_others_where_they_do_not_apply():
    question = make_question("ABB")
    counterfactual = DualityOperations([MirroredView(), ReversedOrder(), Never()], min_seen=1, floor=0.25, decay=0.0)
    counterfactual.pool.observe("mirrored", 0.5)
    assert counterfactual.pool.chances() == {"mirrored": 0.75 / 3.25, "reversed": 1.25 / 3.25, "never": 1.25 / 3.25}
    drawn = [counterfactual.change(show(question), np.random.default_rng(seed)).change for seed in range(400)]
    # never gives way to the others in their proportion: 0.75 to 1.25
    assert drawn.count("mirrored") / 400 == pytest.approx(0.75 / 2, abs=0.08)
    assert set(drawn) == {"mirrored", "reversed"}
    assert DualityOperations([Never()]).change(show(question), RANDOM) is None
    counterfactual.pool.observe("mirrored", 1.0)  # mastered, so retired
    assert {counterfactual.change(show(question), np.random.default_rng(seed)).change for seed in range(40)} == {
        "reversed"
    }


def test_agreement_by_hand():
    """φ swaps A and B. Answers A, B, nothing against B and C: only A with B agrees, 1 of 6."""
    question = with_counterfactuals(
        make_question("A", pairs=[(1, 2)]), [respond("B"), respond("C")], {"A": "B", "B": "A", "C": "C"}, "mirrored"
    )
    assert agreement(question, [respond("A"), respond("B"), "nothing"]) == pytest.approx(1 / 6)
    assert agreement(make_question("A", pairs=[(1, 2)]), [respond("A")]) is None
    assert reference_of(question).change == "mirrored"


def test_what_was_seen_moves_the_pool():
    """The first share seen is the mean, the second one counts a quarter; prompts without counterfactuals do not."""
    counterfactual = DualityOperations(decay=0.75)
    told = {"A": "B", "B": "A", "C": "C"}
    plain = make_question("A", pairs=[(1, 2)])
    agreeing = with_counterfactuals(plain, [respond("B")], told, "mirrored")
    other = with_counterfactuals(plain, [respond("A")], told, "mirrored")
    counterfactual.observe([agreeing, plain, other], [[respond("A")]] * 3)
    assert counterfactual.metrics() == {
        "duality/mirrored/consistency": 0.75,
        "duality/mirrored/chance": pytest.approx(0.3 / 2.4),
    }
    again = DualityOperations(decay=0.75)
    again.load_state_dict(counterfactual.state_dict())
    assert again.metrics() == counterfactual.metrics()


def test_operations_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="different names"):
        DualityOperations([MirroredView(), MirroredView()])


# -- in a step -----------------------------------------------------------------------------------------------------


def objective(**settings):
    reward = CompositeReward([FirstLetterReward(), DualityReward()], [1.0, 1.0])
    return GRPOObjective(
        num_completions=3, max_new_tokens=4, reward=reward, loss=GRPOLoss(beta=0.0),
        counterfactuals=DualityOperations(**settings),
    )  # fmt: skip


def test_a_step_scores_consistency_and_logs_the_pool():
    """Random texts answer nothing, so nothing agrees; all operations that were drawn were seen."""
    policy, batch, grpo = make_policy(), make_batch(3), objective()
    metrics = grpo.prepare(policy, batch, ADDRESS, 4).metrics
    assert metrics["reward/duality"] == 0.0
    seen = {name.split("/")[1] for name in metrics if name.startswith("duality/")}
    assert seen
    assert seen <= set(ALL_OPERATIONS)
    assert sum(grpo.counterfactuals.pool.num_seen.values()) == 3
    assert grpo.state_dict() == {"counterfactuals": grpo.counterfactuals.state_dict()}


def test_a_checkpoint_holds_the_pool():
    first, second, plain = (ready_module(grpo=grpo) for grpo in (objective(), objective(), None))
    first.objectives["GRPO"].counterfactuals.pool.observe("reversed", 0.5)
    checkpoint = {"state_dict": {}}
    first.on_save_checkpoint(checkpoint)
    assert checkpoint["remot"]["objectives"] == {"GRPO": first.objectives["GRPO"].state_dict()}
    second.on_load_checkpoint(checkpoint)
    assert (
        second.objectives["GRPO"].counterfactuals.pool.chances()
        == first.objectives["GRPO"].counterfactuals.pool.chances()
    )
    plain.on_load_checkpoint(checkpoint)  # a run without counterfactuals has no use for it
    assert plain.objectives["GRPO"].state_dict() == {}
