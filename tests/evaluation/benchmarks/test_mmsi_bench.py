"""MMSI-Bench on rows written by hand."""

import json

import pyarrow
import pyarrow.parquet
import pytest
import torch

from remot.errors import AnnotationError
from remot.evaluation.benchmarks.base import EmbeddedImage
from remot.evaluation.benchmarks.mmsi_bench import MMSIBench
from remot.rollout.servers.messages import encode_png
from tests.evaluation.benchmarks.stub import prompt_of, values_of, verdicts_of

ROW = {
    "id": 3,
    "images": ["a.png"],
    "question_type": "Motion (Cam.)",
    "question": "Which? Options: A: x, B: y",
    "answer": "C",
}


def read(tmp_path, *rows):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows or [ROW]))
    return MMSIBench().read(tmp_path)


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("``C``", "C"),
        ("A, no ``C``", "C"),
        ("A, no `c`", "C"),
        ("{C} or A", "C"),
        ("``{C}``", "C"),
        ("the answer is C.", "C"),
        ("a dog, so C", "C"),  # "a" is followed by a word
        ("B then C", "C"),
        ("B, then C", "B"),
        ("G", None),
        ("CAB", None),
        ("", None),
        ("<think>A</think>``C``", "C"),
    ],
)
def test_letters(reply, letter):
    (one,) = verdicts_of(MMSIBench(), [prompt_of("p", gold="C", row="x")], [reply])
    assert one.parsed == letter
    assert one.scores["right"] == float(letter == "C")


def test_rows_to_numbers(tmp_path):
    prompts = read(tmp_path, ROW, ROW | {"id": 4}, ROW | {"id": 5, "question_type": "MSR"})
    assert prompts[0].text.startswith(ROW["question"] + "\n")
    assert prompts[0].images == (tmp_path / "a.png",)
    values = values_of(MMSIBench(), verdicts_of(MMSIBench(), prompts, ["``C``", "?", "``C``"]))
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert values["category/Motion (Cam.)"] == 0.5
    assert values["category/MSR"] == 1


def test_images_in_the_table(tmp_path):
    content = encode_png(torch.zeros(3, 4, 4, dtype=torch.uint8))
    rows = [ROW | {"images": [{"bytes": content, "path": None}]}, ROW | {"id": 4, "images": [content]}]
    for number, row in enumerate(rows):
        file = tmp_path / f"test{number}.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), file)
        (prompt,) = MMSIBench().read(file)
        assert isinstance(prompt.images[0], EmbeddedImage)
        assert prompt.images[0].content == content


@pytest.mark.parametrize("change", [{"answer": "G"}, {"images": 3}, {"images": [""]}, {"question_type": None}])
def test_malformed_rows(tmp_path, change):
    with pytest.raises(AnnotationError, match="line 1"):
        read(tmp_path, ROW | change)
