"""Training prompts chosen by scores: what is kept, in which order, and that other prompts are refused."""

import json

import pytest

from remot.data.datasets.samplers import AddressSampler
from remot.data.datasets.selection import FORMAT, PromptSelection, informative_probability, read_scores
from remot.errors import AnnotationError, ConfigError

RIGHT = (0, 4, 1, 8, 6, 2)  # of 8, at addresses 0 to 5


def write(file, right=RIGHT, header=None, **more):
    lines = [{"format": FORMAT, "fingerprint": "f", "seed": 3} if header is None else header]
    for address, count in enumerate(right):
        line = {"address": address, "prompt_id": f"train/0/{address}", "task": "t", "num_completions": 8}
        lines.append({**line, "num_right": count, **more})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def addresses(selection, count, seed=0):
    return [selection.address(number, seed) for number in range(count)]


@pytest.mark.parametrize(("share", "group", "chance"), [(0.5, 4, 0.875), (0.25, 2, 0.375), (0.0, 8, 0), (1.0, 8, 0)])
def test_chance_of_a_group_with_a_difference(share, group, chance):
    assert informative_probability(share, group) == pytest.approx(chance)


def test_prompts_that_teach_nothing_are_left_out(tmp_path):
    """Addresses 0 and 3 are never and always right; then the epoch begins again."""
    selection = PromptSelection(write(tmp_path / "s.jsonl"))
    assert addresses(selection, 6) == [1, 2, 4, 5, 1, 2]
    assert "4 of 6" in selection.describe()
    # at G 2 the chance is 2 p (1 − p): 0.5, 0.22, 0.375, 0.375 for the four
    assert addresses(PromptSelection(selection.scores, 2, 0.37), 3) == [1, 4, 5]


def test_a_curriculum_goes_from_easy_to_hard(tmp_path):
    selection = PromptSelection(write(tmp_path / "s.jsonl"), order="easy_to_hard")
    assert addresses(selection, 8) == [4, 1, 5, 2] * 2  # 6, 4, 2, 1 of 8


def test_weighted_draws_follow_the_chance_and_the_address(tmp_path):
    """Two prompts with chances 0.5 and 0.21875 at G 2: of 4000 draws 0.696 ± 5 deviations (0.0073) are the first."""
    file = write(tmp_path / "s.jsonl", (4, 1) * 500)
    selection = PromptSelection(file, 2, 0.0, "weighted")
    drawn = addresses(selection, 4000)
    assert sum(RIGHT_OF[address % 2] for address in drawn) / 4000 == pytest.approx(0.6957, abs=5 * 0.0073)
    assert drawn == addresses(PromptSelection(file, 2, 0.0, "weighted"), 4000)
    assert drawn[:1000] != drawn[1000:2000]
    assert drawn[:1000] != addresses(selection, 1000, seed=1)


RIGHT_OF = (1, 0)


def test_batches_hold_the_chosen_addresses(tmp_path):
    selection = PromptSelection(write(tmp_path / "s.jsonl"))
    batches = AddressSampler(3, 2, start_batch=1, choose=lambda number: selection.address(number, 0))
    assert list(batches) == [[5, 1, 2], [4, 5, 1]]  # numbers 3 to 8


@pytest.mark.parametrize(
    ("fingerprint", "seed", "name", "fact"),
    [("g", 3, "train/0/1", "fingerprint"), ("f", 4, "train/0/1", "seed"), ("f", 3, "train/1/0", "train/0/1")],
)
def test_scores_of_other_prompts_are_refused(tmp_path, fingerprint, seed, name, fact):
    selection = PromptSelection(write(tmp_path / "s.jsonl"))
    names = {one.address: one.prompt_id for one in selection.kept}
    selection.require_same("f", 3, names)
    with pytest.raises(ConfigError, match=fact):
        selection.require_same(fingerprint, seed, names | {1: name})


def test_nothing_left_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="least_informative"):
        _ = PromptSelection(write(tmp_path / "s.jsonl", (0, 8))).kept


@pytest.mark.parametrize(
    "more",
    [{"num_right": 9}, {"num_right": -1}, {"num_right": "4"}, {"num_right": True}, {"num_completions": 0}, {"x": 1}],
)
def test_malformed_scores_are_named(tmp_path, more):
    file = write(tmp_path / "s.jsonl")
    lines = file.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | more)
    file.write_text("\n".join(lines))
    with pytest.raises(AnnotationError, match="line 3"):
        read_scores(file)


def test_a_prompt_that_was_scored_twice_is_named(tmp_path):
    """As two commands leave that wrote to one file; it would be trained on twice as often."""
    file = write(tmp_path / "s.jsonl")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, lines[2]]))
    with pytest.raises(AnnotationError, match="line 8: prompt 1 is that of line 3"):
        read_scores(file)


def test_another_file_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match="remot data score"):
        read_scores(write(tmp_path / "s.jsonl", header={"format": "other"}))
    with pytest.raises(AnnotationError):
        read_scores(tmp_path / "missing.jsonl")


@pytest.mark.parametrize("wrong", [{"num_completions": 1}, {"least_informative": 1.0}, {"least_informative": -0.1}])
def test_settings_that_cannot_work(tmp_path, wrong):
    with pytest.raises(ConfigError, match="selection"):
        PromptSelection(tmp_path / "s.jsonl", **wrong)
