"""Files in the public ReMoT layout: what is read, and what their answers give away."""

import json
from itertools import cycle, islice

import pytest

from remot.data.records.released import read_released
from remot.datatools.audit import audit_released
from remot.errors import AnnotationError

WAYS = ("Opened", "Closed")


def line(number, answers, subject="left gripper", **more):
    """One prompt about a gripper, its options in an order that changes with the number."""
    options = [("Opened", "No movement", "Closed"), ("Closed", "Opened", "No movement")][number % 2]
    listed = ", ".join(f"{letter}: {option}" for letter, option in zip("ABC", options, strict=True))
    text = ["Look at the three images."]
    text += [
        f"Please select whether the {subject} moved from Image {one} to Image {two}? {listed}."
        for one, two in ((1, 2), (1, 3), (2, 3))
    ]
    letters = "".join("ABC"[options.index(answer)] for answer in answers)
    images = [f"/data/them/frames/{number:03d}_{k}.png" for k in range(3)]
    record = {"id": f"p{number}", "images": images, "solution": f"<answer>{letters}</answer>"}
    return record | {"messages": [{"role": "user", "content": "\n".join(text)}]} | more


def there_and_back(number):
    """1 to 2 one way, 1 to 3 and 2 to 3 the other way; a law that holds throughout."""
    first, second = WAYS if number % 3 else WAYS[::-1]
    return line(number, (first, second, second))


def written(folder, records, name="agibot_test.jsonl"):
    file = folder / name
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def test_a_file_is_read(tmp_path):
    file = written(tmp_path, [line(0, ("Opened", "Closed", "No movement")), line(1, ("Closed", "Closed", "Opened"))])
    first, second = read_released(file)
    assert first.images == tuple(f"/data/them/frames/000_{k}.png" for k in range(3))
    assert (first.line, second.line) == (1, 2)
    question = first.question
    assert (question.prompt_id, question.domain, question.solution) == ("p0", "agibot_test", "ACB")
    assert [slot.label.pair for slot in question.slots] == [(1, 2), (1, 3), (2, 3)]
    assert [slot.label.value for slot in question.slots] == ["Opened", "Closed", "No movement"]
    assert question.slots[0].options == ("Opened", "No movement", "Closed")
    assert second.question.solution == "AAB"


def test_kinds_are_names_that_metrics_may_have(tmp_path):
    (prompt,) = read_released(written(tmp_path, [line(0, ("Opened",) * 3, subject="robot's left-hand (gripper)")]))
    (kind,) = {slot.label.attribute for slot in prompt.question.slots}
    assert kind == "please_select_whether_the_robot_s_left_hand_gripper_moved"


def test_prompts_without_a_name_are_named_by_their_line(tmp_path):
    records = [line(0, ("Opened",) * 3), line(1, ("Closed",) * 3)]
    for record in records:
        del record["id"]
    file = written(tmp_path, records)
    file.write_text("\n" + file.read_text())
    assert [one.question.prompt_id for one in read_released(file)] == ["agibot_test.jsonl:2", "agibot_test.jsonl:3"]


def test_words_and_numbers_have_no_slots(tmp_path):
    record = line(0, ("Opened",) * 3, solution="<answer>3</answer>")
    record["messages"][0]["content"] = "How many cups?"
    (prompt,) = read_released(written(tmp_path, [record]))
    assert prompt.question.slots == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no prompt"),
        ("\n\n", "holds no prompt"),
        ("[1]", "line 1: expected an object"),
        ("{", "line 1: not valid JSON"),
        ("[" * 99_000, "line 1: not valid JSON"),
        (json.dumps(line(0, WAYS + WAYS[:1])) + "\n" + "x" * 200_000, "line 2: longer than 100000 characters"),
        (json.dumps(line(0, WAYS + WAYS[:1], solution="<answer>AB</answer>")), "3 questions but the solution 'AB'"),
        (json.dumps(line(0, WAYS + WAYS[:1], solution="<answer>ABD</answer>")), "'D' for question 3"),
        (json.dumps(line(0, WAYS + WAYS[:1], images=[])), "line 1: images must be a list"),
        (json.dumps(line(0, WAYS + WAYS[:1], evil=1)), "line 1: unknown key 'evil'"),
    ],
)
def test_a_bad_file_is_reported(tmp_path, text, sentence):
    file = tmp_path / "x.jsonl"
    file.write_text(text)
    with pytest.raises(AnnotationError) as error:
        read_released(file)
    assert str(error.value).startswith(str(file))
    assert sentence in str(error.value)


def test_no_text_is_reported(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(AnnotationError, match="cannot be read as text"):
        read_released(tmp_path / "x.jsonl")


# -- what gives itself away ----------------------------------------------------------------------------------------


def test_a_law_that_holds_throughout_is_found(tmp_path):
    """One subject always goes one way: every letter is known without an image."""
    file = written(tmp_path, [line(number, ("Opened", "Closed", "Closed")) for number in range(20)])
    audit = audit_released(file)
    assert audit.blind.by_model["known_law"] == 1.0
    assert audit.blind.by_model[audit.blind.best] == 1.0
    assert audit.blind.chance == pytest.approx(1 / 3)
    assert audit.tasks[0].labels.tuples == {"Opened, Closed, Closed": 20}
    assert audit.faults == []


def test_there_and_back_gives_more_than_chance(tmp_path):
    """Two of 13 patterns occur: two thirds and more of the letters can be known by someone who cannot see."""
    audit = audit_released(written(tmp_path, [there_and_back(number) for number in range(120)]))
    assert audit.tasks[0].labels.tuples == {"Closed, Opened, Opened": 40, "Opened, Closed, Closed": 80}
    assert audit.blind.by_model["known_law"] > 0.6


def test_balanced_answers_give_nothing_away(tmp_path):
    """All 27 triples equally often."""
    names = ("Opened", "Closed", "No movement")
    triples = [(a, b, c) for a in names for b in names for c in names]
    records = [line(number, triple) for number, triple in enumerate(islice(cycle(triples), 540))]
    audit = audit_released(written(tmp_path, records))
    assert audit.blind.by_model[audit.blind.best] < 0.42
    assert len(audit.tasks[0].labels.tuples) == 27


def test_some_of_a_file(tmp_path):
    file = written(tmp_path, [there_and_back(number) for number in range(9)])
    assert audit_released(file, 4).num_prompts == 4
    assert audit_released(file).num_prompts == 9
    assert audit_released(file, 1).blind is None


def test_the_record_has_the_keys_and_is_json(tmp_path):
    record = audit_released(written(tmp_path, [there_and_back(number) for number in range(9)])).record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["checked_labels"], record["wrong_labels"], record["duplicate_frames_across_splits"]) == (0, 0, 0)
    assert {"blind_accuracy", "chance"} <= record.keys()
