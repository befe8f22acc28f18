"""Ways to ask: the text, read back without the library, says the truth; no format gives its answer away."""

import hashlib
import re
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import yaml

from remot.answers import parse_response, render_response
from remot.data.experts import CameraYaw, MaskFrame
from remot.data.questions.formats import Comparative, FillIn, MultipleChoice, TrueFalse
from remot.data.questions.templates import CLAIM_CLOSING, CLOSING, NUMBER_CLOSING, Wordings, read_wordings
from remot.data.questions.writer import QuestionWriter
from remot.data.tasks.motion_contrast.balancing import TripletIndex
from remot.data.tasks.motion_contrast.sampler import TripletSampler
from remot.datatools.audit.blind import score_blind
from remot.datatools.audit.triplets.answer_check import wrong_letters
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES, NONE, PAIRS, Order
from remot.rewards.functional import all_right, answers_of, format_ok, is_right, logic_score
from remot.seeding import numpy_generator
from remot.structures import MaskOf, MotionLabel, ObjectTrack, Triplet
from tests.data.handmade import boxes, camera_clip, clip_of
from tests.data.made import question_at, triplet_at, triplet_prompts, write

WORDINGS = read_wordings()
ORDERS = [name for name, attribute in ATTRIBUTES.items() if isinstance(attribute, Order)]
#: Two sizes of a motion that every expert with its own thresholds would call one, and a size that is none, by unit.
SIZES = {
    "degrees": (14.0, 31.0, 0.4),
    "metres": (0.55, 1.32, 0.01),
    "pixels": (31.0, 75.0, 2.0),
    "opening": (0.3, 0.62, 0.02),
}
SEVEN = [
    *("camera_yaw", "camera_pitch", "effector_horizontal", "effector_vertical", "gripper"),
    *("object_horizontal", "object_vertical"),
]


def subject_of(attribute):
    return "" if attribute.startswith(("camera", "agent")) else "left_arm" if "object" not in attribute else "red ball"


def labels_of(attribute, codes=(1, 1, 1), sizes=None):
    """Labels of all pairs, or of the mask, sizes by hand."""
    known = ATTRIBUTES[attribute]
    if attribute == "mask_frame":
        return mask_labels(known.answers(codes)[0])
    small, large, none = sizes or SIZES[known.unit]
    found = []
    for pair, code in zip(PAIRS, codes, strict=True):
        size = none if code == 0 else large if pair == (1, 3) else small
        found.append(MotionLabel(pair, attribute, known.value_of(code), size, known.unit, subject_of(attribute)))
    return tuple(found)


def mask_labels(answer):
    return (MotionLabel((1, 2), "mask_frame", answer, 0.1, "overlap", "red ball"),)


def triplet_of(labels):
    transforms = (None, None, MaskOf("red ball")) if len(labels) == 1 else (None, None, None)
    return Triplet(clip_of(3), (0, 1, 2), labels, transforms=transforms)


def ask(form, labels, seed=0, values=None, num_wordings=2, **settings):
    writer = QuestionWriter(num_wordings=num_wordings, formats=[form], **settings)
    return write(writer, triplet_of(labels), "p", (32, 32), numpy_generator(seed), values)


def lines_of(question):
    """First line, lines about pairs as (pair, text), last line."""
    first, *middle, last = question.text.split("\n")
    found = [re.fullmatch(r"(first|second|third), (\d) to (\d): (.+)", line) for line in middle]
    assert [one[1] for one in found] == ["first", "second", "third"][: len(found)]
    return first, [((int(one[2]), int(one[3])), one[4]) for one in found], last


def perfect(question):
    return parse_response(render_response("so", question.solution))


# -- every format ------------------------------------------------------------------------------------------------------

FORMATS = [MultipleChoice(), MultipleChoice("prompt"), TrueFalse(), FillIn(), Comparative()]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_the_right_answer_is_right_and_the_audit_agrees(form, attribute):
    """For every attribute that fits, with three pairs and with one, all wordings."""
    known = ATTRIBUTES[attribute]
    patterns = [(1, 1, 1), (-1, 1, 1), (0, -1, -1)] if attribute in ORDERS else list(known.patterns)[:5]
    for seed, pattern in product(range(6), patterns):
        labels = labels_of(attribute, pattern)
        for binary in (False, True):
            writer = QuestionWriter(num_wordings=1 + seed % 3, formats=[form], binary=binary)
            triplet = triplet_of(labels)
            if not writer.accepts(triplet):
                continue
            question = write(writer, triplet, "p", (32, 32), numpy_generator(seed))
            assert question.format == form.name
            assert question.text.isascii()
            assert "{" not in question.text
            assert "_" not in question.text
            assert all_right(perfect(question).answer, question)
            assert format_ok(perfect(question), question)
            assert wrong_letters(question, triplet, WORDINGS) == []


def fits(form, labels, *, binary=False):
    return QuestionWriter(formats=[form], binary=binary).accepts(triplet_of(labels))


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_what_fits(attribute):
    order = attribute in ORDERS
    labels = labels_of(attribute, (1, 1, 1) if order else next(iter(ATTRIBUTES[attribute].patterns)))
    for binary in (False, True):
        assert fits(MultipleChoice(), labels, binary=binary)
        assert fits(TrueFalse(), labels, binary=binary)
        assert fits(FillIn(), labels, binary=binary) == order
    assert fits(Comparative(), labels) == order
    assert not fits(Comparative(), labels, binary=True)


def test_several_formats_take_turns_and_each_is_named():
    writer = QuestionWriter(formats=[MultipleChoice(), TrueFalse(), FillIn(), Comparative()])
    for labels, fitting in ((labels_of("camera_yaw"), 4), (labels_of("camera_yaw", (0, 1, 1)), 3)):
        drawn = Counter(
            write(writer, triplet_of(labels), "p", (9, 9), numpy_generator(seed)).format for seed in range(600)
        )
        assert len(drawn) == fitting
        assert all(abs(count - 600 / fitting) < 5 * (600 / fitting) ** 0.5 for count in drawn.values())


def test_the_closing_line_describes_what_the_parser_reads():
    """Filled in as it stands, the closing is well formed; its answer has a place for each question."""
    for closings in (CLOSING, CLAIM_CLOSING, NUMBER_CLOSING):
        counts = ("T or F" if closings is CLAIM_CLOSING else "one", "three")
        assert set(closings) == {1, 3}
        for closing, count in zip(closings.values(), counts, strict=True):
            assert count in closing
            shown = parse_response(closing[closing.index("<think>") :])
            assert shown.well_formed
            assert shown.answer == ("..., ..., ..." if closing is NUMBER_CLOSING[3] else "...")
    numbers = ask(FillIn(), labels_of("camera_yaw", (1, 1, -1)))
    assert len(answers_of(parse_response(NUMBER_CLOSING[3]).answer, numbers)) == 3


# -- multiple choice ---------------------------------------------------------------------------------------------------


def test_the_texts_of_the_seven_attributes_are_what_a_shipped_model_has_learnt():
    """remot-tiny's vocabulary is made for them; a change of a single letter needs another model."""
    texts = yaml.safe_dump({name: list(WORDINGS.choose[name]) for name in SEVEN})
    digest = hashlib.sha256(texts.encode()).hexdigest()
    assert digest == "e00df788c0d76793087ce105e5966f09d5292867b8d187752a40aec48202279a"
    asked = "\n".join(
        ask(MultipleChoice(order), labels_of(name, codes), seed, num_wordings=3).text
        for name in SEVEN
        for codes in ((1, 1, 1), (0, -1, -1))
        for order in ("question", "prompt")
        for seed in range(3)
    )
    assert (
        hashlib.sha256(asked.encode()).hexdigest() == "4891732d899f74e67a30a74283ce4583abaa38e52acd1a1bbc24e5321fe0cc99"
    )


def test_a_mask_is_asked_about_once():
    question = ask(MultipleChoice(), mask_labels("second"))
    first, options, last = question.text.split("\n")
    assert "red ball" in first
    told = dict(option.split(" ") for option in options.split(", "))
    assert sorted(told.values()) == ["first", "neither", "second"]
    assert told[question.solution] == "second"
    assert last == CLOSING[1]


def test_corners_are_written_as_words():
    codes = [ATTRIBUTES["effector_composite"].code_of(value) for value in ("upper_left", "upper_right", "none")]
    question = ask(MultipleChoice(), labels_of("effector_composite", codes))
    for (_, text), letter, value in zip(
        lines_of(question)[1], question.solution, ("upper left", "upper right", "none"), strict=True
    ):
        told = dict(option.split(" ", 1) for option in text.split(", "))
        assert told[letter] == value
        assert len(told) == 5


@pytest.mark.parametrize("count", [2, 3, 5])
def test_letters_are_flat_whatever_the_answer(count):
    """With two, three and five answers that occur; 600 prompts, five standard deviations."""
    attribute = "effector_composite" if count == 5 else "camera_yaw"
    values = ATTRIBUTES[attribute].values[:count]
    for value in values:
        labels = labels_of(attribute, [ATTRIBUTES[attribute].code_of(value)] * 3)
        letters = Counter(ask(MultipleChoice(), labels, seed, values).solution[1] for seed in range(600))
        assert set(letters) == set("ABCDE"[:count])
        assert all(abs(one - 600 / count) < 5 * (600 / count) ** 0.5 for one in letters.values())


# -- true or false -----------------------------------------------------------------------------------------------------


def what_is_claimed(attribute, claim):
    """The value a claim stands for, found in the file of wordings."""
    held = WORDINGS.claim[attribute]
    subject = subject_of(attribute).replace("_", " ")
    (value,) = [one for one, texts in held.items() if claim in [text.replace("{subject}", subject) for text in texts]]
    return value


@pytest.mark.parametrize("attribute", [name for name in ATTRIBUTES if name != "mask_frame"])
def test_claims_are_true_as_labelled(attribute):
    known = ATTRIBUTES[attribute]
    patterns = list(known.patterns)
    for seed in range(30):
        codes = patterns[seed % len(patterns)]
        question = ask(TrueFalse(), labels_of(attribute, codes), seed)
        _, lines, last = lines_of(question)
        assert last == CLAIM_CLOSING[3]
        for (pair, claim), letter, code, wanted in zip(lines, question.solution, codes, PAIRS, strict=True):
            assert pair == wanted
            assert (what_is_claimed(attribute, claim) == known.value_of(code)) == (letter == "T")


@pytest.mark.parametrize("answer", ["first", "second", "neither"])
def test_a_claim_about_a_mask_is_a_single_claim(answer):
    """It is about all three images: no "1 to 2" before it."""
    for seed in range(20):
        heading, claim, last = ask(TrueFalse(), mask_labels(answer), seed).text.split("\n")
        assert heading in WORDINGS.claims
        texts = {
            value: [text.format(subject="red ball") for text in held]
            for value, held in WORDINGS.claim["mask_frame"].items()
        }
        (claimed,) = [value for value, held in texts.items() if claim in held]
        assert (claimed == answer) == (ask(TrueFalse(), mask_labels(answer), seed).solution == "T")
        assert last == CLAIM_CLOSING[1]


@pytest.mark.parametrize("values", [None, ("right", "left")])
@pytest.mark.parametrize("value", ["right", "left", "none"])
def test_half_of_the_claims_are_true_whatever_the_answer(value, values):
    """And a false claim claims each other answer that occurs as often; 900 prompts, five standard deviations."""
    offered = ATTRIBUTES["camera_yaw"].values if values is None else values
    if value not in offered:
        return
    labels = labels_of("camera_yaw", [ATTRIBUTES["camera_yaw"].code_of(value)] * 3)
    claimed = Counter()
    for seed in range(900):
        (_, claim) = lines_of(ask(TrueFalse(), labels, seed, values))[1][0]
        claimed[what_is_claimed("camera_yaw", claim)] += 1
    assert abs(claimed[value] - 450) < 5 * 225**0.5
    others = [one for one in offered if one != value]
    assert set(claimed) == set(offered)
    for other in others:
        assert abs(claimed[other] - 450 / len(others)) < 5 * (450 / len(others)) ** 0.5


def test_claims_cannot_be_judged_without_images():
    """On balanced data every blind model is right half of the time."""
    clips = [camera_clip([0, 20, 40, 0.2, 20.3, 40, 30], clip_id=f"c{k}", scene_id=f"s{k}") for k in range(12)]
    sampler, writer = TripletSampler([CameraYaw()]), QuestionWriter(formats=[TrueFalse()], num_wordings=2)
    index, questions = TripletIndex(clips, sampler), []
    for k in range(800):
        generator = numpy_generator(5, k)
        entry, pattern = index.draw("camera_yaw", generator)
        triplet = sampler.sample(clips[entry.clip_index], 0, "", pattern, generator)
        questions.append(write(writer, triplet, f"p{k}", (32, 32), generator))
    scores = score_blind(questions)
    assert scores.chance == 0.5
    for name, share in scores.by_model.items():
        assert abs(share - 0.5) < 0.05, name


def test_a_single_answer_that_occurs_is_claimed_truly():
    assert ask(TrueFalse(), labels_of("camera_yaw"), values=("right",)).solution == "TTT"


def test_claims_are_not_scored_for_logic():
    """True and false say nothing about which answers go together."""
    assert logic_score("TTT", ask(TrueFalse(), labels_of("camera_yaw"))) == 0


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", ORDERS)
def test_numbers_are_signed_as_the_question_says(attribute):
    """The sign that the wording calls positive is the positive answer's; no motion is 0."""
    known = ATTRIBUTES[attribute]
    question = ask(FillIn(), labels_of(attribute, (1, 0, -1)))
    small, _, _ = SIZES[known.unit]
    first, lines, last = lines_of(question)
    assert last == NUMBER_CLOSING[3]
    assert [text for _, text in lines] == [f"... {known.unit}"] * 3
    assert [float(slot.gold) for slot in question.slots] == [small, 0, -small]
    assert question.solution == ", ".join(slot.gold for slot in question.slots)
    assert question.asks_numbers
    assert "positive" in first or "negative" in first


@pytest.mark.parametrize(
    ("attribute", "size", "gold"),
    [
        ("camera_yaw", 31.4, "31"),
        ("camera_yaw", 31.6, "32"),
        ("camera_forward", 1.236, "1.24"),
        ("object_depth", 0.204, "0.20"),
        ("gripper", 0.26, "0.3"),
        ("object_vertical", 26.4, "26"),
        ("camera_sideways", 0.004, "0.00"),
    ],
)
def test_decimals_by_hand(attribute, size, gold):
    """A minus before nothing but zeros says nothing and is left out."""
    for code, sign in ((1, ""), (-1, "-")):
        slot = ask(FillIn(), labels_of(attribute, (code,) * 3, (size,) * 3)).slots[0]
        assert slot.gold == (gold if float(gold) == 0 else sign + gold)


@pytest.mark.parametrize(
    ("attribute", "code", "size", "right", "wrong"),
    [
        ("camera_yaw", 1, 20.0, ("20", "27", "13", "+20.0 degrees", "26.9999"), ("27.1", "12.9", "-20", "0", "")),
        ("camera_yaw", 0, 0.4, ("0", "2", "-2", "-0"), ("2.1", "-2.1", "none")),
        ("camera_forward", -1, 1.0, ("-1", "-1.3", "-0.70 m"), ("-1.31", "-0.69", "1", "-100cm")),
        ("gripper", 1, 0.4, ("0.4", "0.6", ".2"), ("0.61", "0.19", "-0.4")),
        ("object_vertical", -1, 40.0, ("-40", "-58", "-22 px"), ("-58.5", "-21.5", "40", "0")),
    ],
)
def test_tolerances_by_hand(attribute, code, size, right, wrong):
    """2 degrees, 0.05 m, 0.1 of the opening, 8 pixels, each plus a quarter of the right number."""
    slot = ask(FillIn(), labels_of(attribute, (code,) * 3, (size,) * 3)).slots[0]
    assert all(is_right(answer, slot) for answer in right), slot
    assert not any(is_right(answer, slot) for answer in wrong), slot


@pytest.mark.parametrize("attribute", ORDERS)
def test_no_motion_and_the_opposite_are_wrong_for_the_smallest_motion(attribute):
    """With the thresholds and tolerances that come with the library."""
    smallest = {"degrees": 10.0, "metres": 0.2, "pixels": 26.0, "opening": 0.25}[ATTRIBUTES[attribute].unit]
    slot = ask(FillIn(), labels_of(attribute, sizes=(smallest,) * 3)).slots[0]
    assert not is_right("0", slot)
    assert not is_right(f"-{slot.gold}", slot)


def test_tolerances_can_be_set():
    slot = ask(FillIn(0.0, {"degrees": 1.0}), labels_of("camera_yaw")).slots[0]
    assert slot.tolerance == 1.0
    assert ask(FillIn(0.5), labels_of("camera_yaw")).slots[0].tolerance == 2 + 7
    for settings in ((-0.1,), (float("nan"),), (0.1, {"degrees": -1}), (0.1, {"feet": 1}), (0.1, {"metres": np.inf})):
        with pytest.raises(ConfigError, match=r"tolerances.*degrees, metres"):
            FillIn(*settings)


# -- the largest -------------------------------------------------------------------------------------------------------


def sized(*sizes, values=("right", "right", "right")):
    return tuple(
        MotionLabel(pair, "camera_yaw", value, size, "degrees")
        for pair, value, size in zip(PAIRS, values, sizes, strict=True)
    )


@pytest.mark.parametrize(
    ("sizes", "largest"), [((10, 25, 15), "1 to 3"), ((30, 12, 18), "1 to 2"), ((15, 14, 29), "2 to 3")]
)
def test_the_largest_pair_is_the_answer(sizes, largest):
    for seed in range(12):
        question = ask(Comparative(), sized(*sizes), seed)
        first, options, last = question.text.split("\n")
        told = dict(option.split(" ", 1) for option in options.split(", "))
        assert sorted(told) == ["A", "B", "C"]
        assert sorted(told.values()) == ["1 to 2", "1 to 3", "2 to 3"]
        assert told[question.solution] == largest
        assert first in [text.format(subject="") for text in WORDINGS.most["camera_yaw"]]
        assert last == CLOSING[1]
        assert f"{question.slots[0].label.pair}" == "({}, {})".format(*largest.split(" to "))


def test_letters_of_the_largest_are_flat():
    letters = Counter(ask(Comparative(), sized(10, 25, 15), seed).solution for seed in range(600))
    assert all(abs(letters[letter] - 200) < 5 * 200**0.5 for letter in "ABC")


@pytest.mark.parametrize(
    ("sizes", "values", "expected"),
    [
        ((20, 25, 12), ("right",) * 3, True),  # 25 is 1.25 times 20
        ((20, 24.9, 12), ("right",) * 3, False),
        ((12, 25, 12), ("right", NONE, "right"), False),
        ((25, 25, 12), ("right",) * 3, False),
    ],
)
def test_the_largest_has_to_be_clear(sizes, values, expected):
    assert Comparative().accepts(sized(*sizes, values=values)) is expected
    with pytest.raises(ConfigError, match="min_ratio is 1"):
        Comparative(1)


# -- the file of wordings ----------------------------------------------------------------------------------------------


def test_every_wording_reads_with_a_subject():
    """One line of plain ASCII that starts and ends as a sentence or a claim does, with the thing named where it is one
    thing's motion."""
    for section in ("choose", "amount", "most"):
        for attribute, texts in getattr(WORDINGS, section).items():
            assert len(set(texts)) == len(texts) >= 2
            for text in texts:
                assert text.isascii()
                assert text[0].isupper()
                assert text[-1] in "?."
                assert ("{subject}" in text) == (subject_of(attribute) != "")
                assert "the {subject}" in text or "{subject}" not in text
                assert "  " not in text
    for attribute, held in WORDINGS.claim.items():
        texts = [text for of_value in held.values() for text in of_value]
        assert len(set(texts)) == len(texts)
        for text in texts:
            assert text.isascii()
            assert text[0].islower()
            assert text[-1] not in ".?, "
            assert ("{subject}" in text) == (subject_of(attribute) != "")
            assert "the {subject}" in text or "{subject}" not in text
    assert set(WORDINGS.amount) == set(WORDINGS.most) == set(ORDERS)


@pytest.fixture
def english():
    return yaml.safe_load(
        yaml.safe_dump(
            {
                "choose": {name: list(texts) for name, texts in WORDINGS.choose.items()},
                "claims": list(WORDINGS.claims),
                "claim": {name: {v: list(t) for v, t in held.items()} for name, held in WORDINGS.claim.items()},
                "amount": {name: list(texts) for name, texts in WORDINGS.amount.items()},
                "most": {name: list(texts) for name, texts in WORDINGS.most.items()},
            }
        )
    )


def read(tmp_path, content):
    file = tmp_path / "words.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return read_wordings(file)


def test_a_file_of_ones_own_is_used(tmp_path, english):
    english["choose"]["camera_yaw"] = ["Wohin schwenkte die Kamera?"]
    english["claims"] = ["Stimmt das?"]
    found = read(tmp_path, english)
    assert isinstance(found, Wordings)
    assert found.num_wordings == 1
    writer = QuestionWriter(1, wordings=tmp_path / "words.yaml")
    text = write(writer, triplet_of(labels_of("camera_yaw")), "p", (9, 9), numpy_generator(0)).text
    assert text.startswith("Wohin schwenkte die Kamera?\n")
    with pytest.raises(ConfigError, match="num_wordings is 2"):
        QuestionWriter(2, wordings=tmp_path / "words.yaml")


def change(content, *path, to):
    for key in path[:-1]:
        content = content[key]
    if to is None:
        del content[path[-1]]
    else:
        content[path[-1]] = to


FAULTS = [
    (("most",), None, "must have the sections amount, choose, claim, claims, most and no other"),
    (("extra",), {}, "must have the sections amount"),
    (("choose",), [], "choose must hold every attribute and nothing else; look at agent_advance"),
    (("choose", "camera_yaw"), None, "choose must hold every attribute and nothing else; look at camera_yaw"),
    (("choose", "camera_yow"), ["x"], "choose must hold every attribute .* look at camera_yow"),
    (("choose", 1), ["x"], "choose must hold every attribute .* look at 1"),
    (("amount", "gripper"), None, "amount must hold every attribute that is measured along one line .* gripper"),
    (("amount", "mask_frame"), ["x"], "amount must hold .* look at mask_frame"),
    (("most", "object_depth"), None, "most must hold every .* look at object_depth"),
    (("claim", "gripper"), None, "claim must hold every attribute .* look at gripper"),
    (("claim", "grippers"), {}, "claim must hold every attribute .* look at grippers"),
    (("claim", "gripper", "none"), None, "claim: gripper must hold texts for opened, closed, none and nothing else"),
    (("claim", "gripper", "ajar"), ["x"], "claim: gripper must hold texts for"),
    (("claim", "gripper"), "opened", "claim: gripper must hold texts for"),
    (("claim", "gripper", "none"), "x", "claim: gripper: none must be a list of texts"),
    (("claims",), [], "claims must be a list of texts"),
    (("claims",), "True?", "claims must be a list of texts"),
    (("choose", "camera_yaw"), [" "], "choose: camera_yaw must be a list of texts"),
    (("choose", "camera_yaw"), [3], "choose: camera_yaw must be a list of texts"),
    (("choose", "gripper"), ["{thing}?"], r"choose: gripper: '\{thing\}\?' may hold \{subject\} and no other braces"),
    (("choose", "gripper"), ["{subject.__class__}?"], "no other braces"),
    (("choose", "gripper"), ["{subject!r}?"], "no other braces"),
    (("choose", "gripper"), ["{0}?"], "no other braces"),
    (("choose", "gripper"), ["{?"], "no other braces"),
    (("choose", "gripper"), ["{{subject}}?"], "no other braces"),
    (("most", "gripper"), ["one\ntwo"], r"most: gripper: 'one\\ntwo' must be a single line"),
]


@pytest.mark.parametrize(("path", "to", "sentence"), FAULTS, ids=[f"{'-'.join(map(str, p))}" for p, _, _ in FAULTS])
def test_a_fault_in_the_file_is_named(path, to, sentence, tmp_path, english):
    change(english, *path, to=to)
    with pytest.raises(ConfigError, match=sentence) as told:
        read(tmp_path, english)
    assert "words.yaml" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", ["", "- a", "choose: [", "\x00", "a: b: c", "!!python/object:os.system x"])
def test_a_file_that_holds_no_wordings_is_reported(content, tmp_path):
    with pytest.raises(ConfigError, match=r"the wordings .*words\.yaml (cannot be read|must have the sections)"):
        read(tmp_path, content)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.yaml cannot be read"):
        read_wordings(tmp_path / "gone.yaml")


def test_a_name_with_braces_is_left_alone():
    labels = tuple(replace(label, subject="{cup}") for label in labels_of("gripper"))
    assert "{cup}" in ask(MultipleChoice(), labels).text


@pytest.mark.parametrize(("form", "section"), [(TrueFalse(), "claims"), (FillIn(), "amount"), (Comparative(), "most")])
def test_every_wording_is_used_and_no_more_than_asked_for(form, section):
    """In 60 prompts; the first one only where a single wording is asked for."""
    held = getattr(WORDINGS, section)
    texts = held if section == "claims" else held["camera_yaw"]
    labels = labels_of("camera_yaw")
    assert {ask(form, labels, seed, num_wordings=3).text.split("\n")[0] for seed in range(60)} == set(texts)
    plain = [ask(form, labels, seed, num_wordings=1) for seed in range(60)]
    assert {question.text.split("\n")[0] for question in plain} == {texts[0]}
    if form.name == "true_false":
        claims = {claim for question in plain for _, claim in lines_of(question)[1]}
        assert claims == {held[0] for held in WORDINGS.claim["camera_yaw"].values()}


def test_no_format_takes_answers_away_from_another():
    """Beside comparisons, which need three motions, "none" is still right once in three: 2400 letters, five standard
    deviations. Were formats drawn after triplets it would be right 3 times in 8."""
    generator = np.random.default_rng(0)
    yaw = generator.choice([0, 15, 30, 45], (20, 8)) + generator.uniform(-0.3, 0.3, (20, 8))
    clips = [camera_clip(one, clip_id=f"c{k}", scene_id=f"s{k}") for k, one in enumerate(yaw)]
    writer = QuestionWriter(formats=[MultipleChoice(), Comparative()])
    dataset = triplet_prompts(clips, TripletSampler([CameraYaw()]), writer, "train", 1600)
    answers, kinds = Counter(), Counter()
    for address in range(1600):
        question = question_at(dataset, address, (9, 9))
        kinds[question.format] += 1
        if question.format == "multiple_choice":
            answers.update(slot.label.value for slot in question.slots)
    assert abs(kinds["comparative"] - 800) < 5 * 20
    share = answers["none"] / sum(answers.values())
    assert abs(share - 1 / 3) < 5 * (2 / 9 / 800) ** 0.5 / 3**0.5 + 0.005


def test_a_wish_that_nothing_grants_is_passed_over():
    clip = clip_of(4, objects={"ball": ObjectTrack(boxes([(10 + 20 * k, 20) for k in range(4)]))})
    writer = QuestionWriter(formats=[FillIn(), TrueFalse()])
    dataset = triplet_prompts([clip], TripletSampler([MaskFrame()]), writer, "train", 6)
    for address in range(6):
        assert question_at(dataset, address, (9, 9)).format == "true_false"
    with pytest.raises(ConfigError, match=r"fill_in .*mask_frame"):
        triplet_at(
            triplet_prompts([clip], TripletSampler([MaskFrame()]), QuestionWriter(formats=[FillIn()]), "train", 6), 0
        )
