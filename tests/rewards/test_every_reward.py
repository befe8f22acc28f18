"""What holds for each reward: worth of a good completion, shapes, "not applicable", and hostile completions."""

import time
import tracemalloc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from remot.rewards import (
    AccuracyReward,
    CompositeReward,
    CosineLengthReward,
    GatedReward,
    LengthBonusReward,
    PerTaskReward,
    RepetitionReward,
    SoftOverlongReward,
    TaggedFormatReward,
)
from remot.structures import Reference
from tests.helpers import HOSTILE_PIECES, assert_close, make_question
from tests.rewards.samples import FULL, GRAPH, MAP, MOTION, SAMPLES, question, totals

each = pytest.mark.parametrize("name", SAMPLES)
PIECES = (
    *HOSTILE_PIECES,
    *("<glue>", "</glue>", "<map>", "</map>", "<graph>", "</graph>", "<obj>", "</obj>", "<box>", "</box>", "at<t>"),
    *("</t>s", "<motion ", "/>", 'obj="red car"', 'dir="N"', 'speed="fast"', 'scale="stable"', "to", " to ", "and"),
    *("[", "]", "(", ")", "{", "}", "[[", "]]", ",", ":", '"', "'", "\\", "[[0,0,1,1]]", '{"nodes":', '"edges":'),
    *("1", "0", "-1", "5.5", "1e999", "NaN", "Infinity", "-Infinity", "9" * 400, "٣", "Ⅷ", "½", "1_000", "0x1F"),
    *('{"start_time":', '"end_time":', "null", "true", "__import__('os').system('true')", "lambda: 0", GRAPH, MAP),
    *(MOTION, "red car", "chair", "four", "The answer is"),
)
hostile = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=20).map(lambda pieces: f"<think>{''.join(pieces)}</think>"),
    st.lists(st.sampled_from(PIECES), max_size=20).map(lambda pieces: f"<answer>{''.join(pieces)}</answer>"),
    st.lists(st.sampled_from(PIECES), max_size=20).map(lambda pieces: f"<glue>{''.join(pieces)}</glue>"),
    st.text(max_size=80),
)


@each
def test_a_good_completion_is_worth_what_was_worked_out(name):
    sample = SAMPLES[name]
    assert_close(totals(sample.reward, sample.good), [sample.worth], rtol=1e-4)


@each
def test_output_is_flat_float32_with_the_total_among_the_parts(name):
    sample = SAMPLES[name]
    output = sample.reward([sample.good, ""], [question(), question()])
    assert output.total.shape == output.success.shape == (2,)
    assert {part.dtype for part in output.parts.values()} == {output.total.dtype} == {torch.float32}
    assert output.success.dtype == torch.bool
    if name not in {"composite", "per_task"}:
        assert_close(output.parts[sample.reward.name], output.total)


@each
def test_no_completions(name):
    assert SAMPLES[name].reward([], []).total.shape == (0,)


@each
def test_without_anything_to_compare_with_it_is_not_applicable(name):
    """NaN, and no success; what looks at the text alone is applicable, and a sum of nothing is 0."""
    reward = SAMPLES[name].reward
    output = reward(["<think>x</think><answer>B</answer>"], [question(Reference())])
    if isinstance(reward, TaggedFormatReward | RepetitionReward | CompositeReward | LengthBonusReward):
        assert output.total.isfinite().all()
    else:
        assert output.total.isnan().all()
        assert not output.success.any()


@each
def test_order_of_completions_does_not_matter(name):
    sample = SAMPLES[name]
    completions = [sample.good, "", "<answer>A</answer>", sample.good + " "]
    assert totals(sample.reward, *completions) == totals(sample.reward, *completions[::-1])[::-1]


@each
@given(completion=hostile)
@settings(deadline=None, database=None, derandomize=True, max_examples=50)
def test_hostile_completions_get_a_finite_score(name, completion):
    assert all(-20 < total < 20 for total in totals(SAMPLES[name].reward, completion))


MEGABYTE = 2**20
HUGE = {
    "brackets": "<answer>" + "[" * MEGABYTE,
    "closed brackets": "<answer>" + "[" * 8000 + "]" * 8000 + "</answer>",
    "opening tags": "<think>" * (MEGABYTE // 7),
    "nested tags": "<think>" * 50_000 + "</think>" * 50_000,
    "answers": "<answer>1 to 2</answer>" * 45_000,
    "digits": "<answer>" + "9" * 150_000 + "</answer>",
    "dotted digits": "<answer>" + "1." * 75_000 + "</answer>",
    "spans": "<answer>" + "1 to 2 and " * 15_000 + "</answer>",
    "listed spans": "<answer>[" + "(1,2)," * 2700 + "]</answer>",
    "glue": "<answer>B</answer><glue>[" + ",".join(["[1,2]"] * 2700) + "]</glue>",
    "words": "<think>" + "a " * 60_000 + "</think><answer>" + "b " * 30_000 + "</answer>",
    "map": '<think><map>{"chair": [' + ",".join(["[1,2]"] * 2600) + "]}</map></think><answer>B</answer>",
    "graph": "<think>" + GRAPH * 600 + "</think>",
    "big graph": '<think><graph>{"nodes": {' + ",".join(f'"n{k}":[1,2]' for k in range(500)) + "}}</graph></think>",
    "motion": "<think>" + MOTION * 600 + "</think>",
    "motion tags": "<think>" + "<motion " * 20_000 + "</think>",
    "sightings": "<think>" + "<obj>" * 30_000 + "</think>",
    "white space": "<think></think>" + " " * 150_000 + "<answer>",
    "joints": "<think>" + "</think> " * 20_000 + "</answer>",
    "sentences": "<answer>" + "man door." * 800 + "</answer>",
    "commas": "<answer>" + "," * 150_000 + "</answer>",
    "quotes": "<answer>" + '"' * 16_000 + "</answer>",
    "Unicode digits": "<answer>" + "٣" * 50_000 + "</answer>",
    "lone surrogates": "<answer>" + "\ud800" * 50_000 + "</answer>",
}


@each
def test_time_is_bounded_by_the_length(name):
    """At most 10 ms a kilobyte, measured on a busy machine, so with 10 kilobytes for nothing and two more tries."""
    for kind, text in HUGE.items():
        limit, tries = 0.010 * (10 + len(text) / 1024), []
        while not tries or (min(tries) >= limit and len(tries) < 3):
            started = time.thread_time()
            (total,) = totals(SAMPLES[name].reward, text)
            tries.append(time.thread_time() - started)
        assert -20 < total < 20, kind
        assert min(tries) < limit, kind


FOUR_MEGABYTES = 4 * MEGABYTE
LARGE = {
    "brackets": "<answer>" + "[" * FOUR_MEGABYTES,
    "words": "<think>" + " ".join(map(str, range(FOUR_MEGABYTES // 8))) + "</think><answer>B</answer>",
    "elements": "<think><answer>1 to 2</answer>" * (FOUR_MEGABYTES // 30),
    "late": "<think>" + " " * FOUR_MEGABYTES + MAP + "</think><answer>B</answer>",
    "wide letters": "<answer>" + "\U0001f697" * MEGABYTE,
}


@each
@pytest.mark.parametrize("kind", LARGE)
def test_memory_is_bounded_whatever_the_length(name, kind):
    """Four megabytes take no more than what their first 200,000 characters can take."""
    reward, text = SAMPLES[name].reward, LARGE[kind]
    totals(reward, SAMPLES[name].good)  # what is built once
    tracemalloc.start()
    totals(reward, text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MEGABYTE


def test_only_the_first_characters_are_read():
    """A map and words behind 200,000 characters count for nothing: one word is left of three, and 3 − 2 are free."""
    late = "<think>" + " " * 200_000 + f"{MAP} and some words</think>"
    right = "<answer>B</answer>"
    assert totals(SAMPLES["cognitive_map"].reward, right + late, late + right) == [1, 0]
    by_words = SoftOverlongReward(3, 2, "words")
    assert totals(by_words, right + late, right + " some words") == [0.0, -1.0]


def test_rewards_that_compare_do_not_punish_what_is_not_applicable():
    """Format 1, letter right, interval overlap not applicable: the sum is of the first two, and it is a success."""
    reward = CompositeReward(
        [TaggedFormatReward(), SAMPLES["letter"].reward, SAMPLES["interval_set"].reward], [2, 3, 5]
    )
    output = reward([SAMPLES["format"].good], [question(Reference(answer="B"))])
    assert output.total.tolist() == [5.0]
    assert output.success.tolist() == output.verdicts.tolist() == [True]


WITHOUT_VERDICT = {"format", "format_boxes", "format_glue", "repetition", "shuffled_frames", "length_bonus"}
WITHOUT_VERDICT |= {"scene_graph", "motion_perturbation", "duality", "view_consistency"}


@each
def test_which_rewards_determine_success(name):
    """Form, length and consistency are worth something, but are no verdict; nor is anything without a reference."""
    reward, completion = SAMPLES[name].reward, SAMPLES[name].good
    assert reward([completion], [question()]).verdicts.tolist() == [name not in WITHOUT_VERDICT]
    assert reward([completion], [question(Reference())]).verdicts.tolist() == [False]


@each
def test_a_sum_without_a_judging_reward_is_no_success(name):
    """Beside a format and a penalty; a sum in a sum and a reward by task carry it on."""
    beside = [TaggedFormatReward(name="other_format"), RepetitionReward(name="other_repetition")]
    inner = PerTaskReward({"any": CompositeReward([SAMPLES[name].reward, *beside], [1, 1, 1])})
    reward = CompositeReward([inner], [1])
    output = reward([SAMPLES[name].good] * 2, [question(), question(Reference())])
    assert output.verdicts.tolist() == [name not in WITHOUT_VERDICT, False]
    assert not output.success[1]
    assert not (output.success & ~output.verdicts).any()


def test_a_sum_of_nothing_applicable_is_no_success():
    reward = CompositeReward([SAMPLES["tracking"].reward, SAMPLES["interval_set"].reward], [2.0, 5.0])
    output = reward(["<answer>B</answer>"], [question(Reference(answer="B"))])
    assert output.total.tolist() == [0.0]
    assert output.success.tolist() == [False]


def test_a_gate():
    """Letter B right: behind an open gate 1, behind a closed one −0.5; not applicable stays so."""
    reward = GatedReward(SAMPLES["letter"].reward, TaggedFormatReward(), otherwise=-0.5)
    completions = ["<think>x</think><answer>B</answer>", "<answer>B</answer>"]
    output = reward(completions, [question()] * 2)
    assert output.total.tolist() == [1.0, -0.5]
    assert output.success.tolist() == [True, False]
    assert output.parts["exact"].tolist() == [1, 1]
    assert reward(completions, [question(Reference())] * 2).total.isnan().all()


def test_a_gate_that_is_not_applicable_is_open():
    reward = GatedReward(SAMPLES["letter"].reward, SAMPLES["tracking"].reward)
    assert totals(reward, "<answer>B</answer>", reference=Reference(answer="B")) == [1.0]


def test_each_task_has_its_rewards():
    reward = PerTaskReward({"choice": SAMPLES["letter"].reward, "grounding": SAMPLES["temporal_hull"].reward})
    questions = [question(task="grounding"), question(task="choice"), question(task="grounding")]
    completions = ["<answer>5 to 10</answer>", "<answer>B</answer>", "<answer>B</answer>"]
    output = reward(completions, questions)
    assert output.total.tolist() == [1, 1, 0]
    assert output.success.tolist() == [True, True, False]
    assert_close(output.parts["exact"], [torch.nan, 1, torch.nan])
    assert_close(output.parts["temporal_iou"], [1, torch.nan, 0])


def test_terms_of_tasks_are_kept_apart():
    """For advantages that standardise each reward of its own: weights and columns, NaN for other tasks' completions."""
    sum_ = CompositeReward([SAMPLES["letter"].reward, TaggedFormatReward()], [2, 3])
    reward = PerTaskReward({"choice": sum_, "grounding": SAMPLES["temporal_hull"].reward})
    output = reward(
        ["<answer>B</answer>", "<answer>5 to 10</answer>"], [question(task="choice"), question(task="grounding")]
    )
    assert [weight for weight, _ in output.weighted_terms] == [2, 3, 1]
    columns = torch.stack([term for _, term in output.weighted_terms])
    assert_close(columns, [[1, torch.nan], [0, torch.nan], [torch.nan, 1]])


def test_one_question_for_each_completion():
    for name in ("per_task", "letter", "gated"):
        with pytest.raises(ValueError, match="2 completions but 1 questions"):
            SAMPLES[name].reward(["", ""], [question()])


def test_a_task_without_a_reward():
    from remot.errors import ConfigError

    reward = PerTaskReward({"choice": SAMPLES["letter"].reward})
    with pytest.raises(ConfigError, match="no reward for the task 'other'; the configuration has choice"):
        reward([""], [question(task="other")])
    with_default = PerTaskReward({"choice": SAMPLES["letter"].reward}, default=TaggedFormatReward())
    assert with_default([""], [question(task="other")]).total.tolist() == [0]
    with pytest.raises(ConfigError, match="at least one task"):
        PerTaskReward({})


def test_cosine_by_hand():
    """Right: 1 at 0, (1 + 0.5) / 2 at half, 0.5 from the end on. Wrong: −1, −0.75, −0.5."""
    reward = CosineLengthReward(SAMPLES["letter"].reward, 100, unit="characters")
    right, wrong = "<answer>B</answer>", "<answer>A</answer>"
    found = totals(reward, right.ljust(50), right.ljust(100), right.ljust(999), wrong.ljust(50), wrong.ljust(100))
    assert_close(found, [0.75, 0.5, 0.5, -0.75, -0.5])
    strict = CosineLengthReward(SAMPLES["letter"].reward, 100, beyond=-3)
    assert totals(strict, right.ljust(101), right.ljust(100)) == [-3, 0.5]


def test_the_cosine_requires_a_judging_reward():
    """Neither a question without letters nor a form tells which of the two curves holds."""
    by_letters, by_form = CosineLengthReward(AccuracyReward(), 100), CosineLengthReward(TaggedFormatReward(), 100)
    for reward in (by_letters, by_form):
        assert reward(["<answer>B</answer>"], [question()]).total.isnan().all()
    assert by_letters(["<answer>ABB</answer>".ljust(50)], [make_question("ABB")]).total.tolist() == [0.75]


def test_full_reference_serves_all():
    assert all(getattr(FULL, field) is not None for field in ("answer", "number", "tracks", "counterfactuals"))


def test_tasks_may_share_a_reward():
    """Two tasks with the letter's reward, one of them by name of the other."""
    from remot.errors import ConfigError

    letter = SAMPLES["letter"].reward
    reward = PerTaskReward({"choice": letter}, same_as={"direction": "choice"})
    questions = [question(task="choice"), question(task="direction")]
    assert reward(["<answer>B</answer>", "<answer>B</answer>"], questions).total.tolist() == [1.0, 1.0]
    with pytest.raises(ConfigError, match=r"same_as.*choice: choice"):
        PerTaskReward({"choice": letter}, same_as={"choice": "choice"})
    with pytest.raises(ConfigError, match="the second one of choice"):
        PerTaskReward({"choice": letter}, same_as={"direction": "chioce"})
