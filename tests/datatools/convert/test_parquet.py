"""Prompts as Parquet: every fact of a prompt is in its row, and ``datasets`` is given the types of the columns."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import ExifTags, Image, ImageOps

from remot.commands.dispatch import run
from remot.data.datasets.recorded import RecordDataset
from remot.data.media import write_video
from remot.data.records.reading import RecordSettings, read_recorded
from remot.datatools.convert import parquet
from remot.errors import ConfigError, EmptySplitError
from remot.evaluation.benchmarks.base import BenchmarkOptions
from remot.evaluation.benchmarks.media import shown_batch
from remot.evaluation.benchmarks.own_questions import OwnQuestions
from remot.rewards import AnswerReward, ReMoTReward
from remot.rewards.offline import reference_from
from remot.structures import Question
from tests.datatools.builds import VARIED, built, lines_of, varied_root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = varied_root(tmp_path_factory.mktemp("clips") / "clips")
    return built(root, tmp_path_factory.mktemp("built") / "out", 12, **VARIED)[0]


@pytest.fixture
def questions(tmp_path):
    """Four questions about two images and a video, of three scenes."""
    for name, level in (("a", 10), ("b", 200)):
        Image.new("RGB", (8, 6), (level,) * 3).save(tmp_path / f"{name}.png")
    levels = np.arange(10, dtype=np.uint8)[:, None, None, None] * 20
    write_video(tmp_path / "v.mp4", np.ascontiguousarray(np.broadcast_to(levels, (10, 16, 16, 3))), 10)
    rows = [
        {"id": "i", "images": ["a.png", "b.png"], "question": "?", "options": ["x", "y"], "answer": "B", "scene": "s"},
        {"id": "n", "images": ["b.png"], "question": "How many?", "answer": 4, "task": "count", "scene": "t"},
        {"id": "v", "video": "v.mp4", "start": 0.2, "end": 0.8, "question": "When?", "answer": [[0.3, 0.5]]},
    ]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    return tmp_path / "q.json"


def tables(out):
    return {file.name: pq.read_table(file) for file in sorted(out.iterdir())}


def rows_of(source, out, *options):
    run(["data", "convert", str(source), "--to", "parquet", "--out", str(out), *options])
    return {row["id"]: row for table in tables(out).values() for row in table.to_pylist()}


def pixel(image):
    return Image.open(io.BytesIO(image["bytes"])).getpixel((0, 0))[0]


def test_a_built_folder(folder, tmp_path, capsys):
    """Images byte by byte, texts and solutions as in prompts.jsonl, splits as files."""
    rows = rows_of(folder, tmp_path / "out")
    records = {one["id"]: one for one in lines_of(folder)}
    assert rows.keys() == records.keys()
    splits = {table: len(content) for table, content in tables(tmp_path / "out").items()}
    assert splits.keys() == {f"{name}-00000-of-00001.parquet" for name in ("train", "validation", "test")}
    assert f"train {splits['train-00000-of-00001.parquet']} prompts" in capsys.readouterr().out
    for name, row in rows.items():
        record = records[name]
        assert (row["messages"], row["solution"]) == (record["messages"], record["solution"])
        assert [image["bytes"] for image in row["images"]] == [(folder / one).read_bytes() for one in record["images"]]
        assert (row["task"], row["scene"]) == (record["remot"]["task"], record["remot"]["scene"])


def test_references_give_the_rewards_of_the_prompts(folder, tmp_path):
    """What is written is what ``remot score`` reads: a right answer gets all terms, the logic among them."""
    from remot.data.records.parsing import from_record

    for name, row in rows_of(folder, tmp_path / "out").items():
        reference, slots = reference_from("", json.loads(row["reference"]))
        record = next(one for one in lines_of(folder) if one["id"] == name)
        original = from_record("", record).question
        read = Question(name, "", slots, "", "", reference=reference)
        replies = [f"<think>x</think>{row['solution']}", f"<think>x</think><answer>{'A' * len(slots)}</answer>"]
        ours, theirs = (ReMoTReward()(replies, [question] * 2) for question in (read, original))
        assert ours.total.tolist() == theirs.total.tolist()
        assert ours.success.tolist()[0] is True


def test_questions(questions, tmp_path):
    rows = rows_of(questions, tmp_path / "out")
    assert list(map(pixel, rows["i"]["images"])) == [10, 200]
    assert rows["i"]["solution"] == "<answer>B</answer>"
    assert rows["n"]["messages"][0]["content"].startswith("How many?\nAnswer with one number")
    assert (rows["n"]["task"], rows["n"]["scene"], rows["v"]["scene"]) == ("count", "t", "v.mp4")
    assert (rows["v"]["video"], rows["v"]["start"], rows["v"]["end"]) == (str(tmp_path / "v.mp4"), 0.2, 0.8)
    assert (rows["v"]["images"], rows["v"]["image_seconds"], rows["i"]["video"]) == ([], None, None)
    reference, _ = reference_from("", json.loads(rows["v"]["reference"]))
    question = Question("v", "", (), "", "", reference=reference)
    assert AnswerReward()(["<answer>0.3 to 0.5</answer>"], [question]).total.tolist() == [1]


def test_frames_in_place_of_a_video(questions, tmp_path):
    """0.2 to 0.8 s are frames 2 to 8; three of them are 2, 5 and 8, whose grey is twenty times their number."""
    row = rows_of(questions, tmp_path / "out", "--num_frames", "3")["v"]
    assert row["image_seconds"] == pytest.approx([0.2, 0.5, 0.8])
    assert list(map(pixel, row["images"])) == pytest.approx([40, 100, 160], abs=5)
    assert row["video"] is None


def test_paths_in_place_of_images(questions, tmp_path):
    row = rows_of(questions, tmp_path / "out", "--images", "paths")["i"]
    assert row["images"] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]


def test_splits_of_questions(questions, tmp_path):
    rows_of(questions, tmp_path / "out", "--test_fraction", "0.34")
    assert {name: len(table) for name, table in tables(tmp_path / "out").items()} == {
        "test-00000-of-00001.parquet": 1,
        "train-00000-of-00001.parquet": 2,
    }


def test_a_wanted_split_that_would_be_empty(questions, tmp_path):
    """Two scenes: 0.1 of them is none, and only three or more give every split one."""
    questions.write_text(json.dumps(json.loads(questions.read_text())[:2]))
    with pytest.raises(EmptySplitError, match="test"):
        parquet.write_parquet(questions, tmp_path / "out", parquet.ParquetSettings(test_fraction=0.1))
    assert not (tmp_path / "out").exists()


def test_types_for_datasets(questions, tmp_path):
    rows_of(questions, tmp_path / "out")
    [table] = tables(tmp_path / "out").values()
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == table.schema.names
    assert features["images"] == {"feature": {"_type": "Image"}, "_type": "List"}
    assert features["solution"] == {"dtype": "string", "_type": "Value"}


def test_files_of_bounded_size(questions, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP_ROWS", 1)
    monkeypatch.setattr(parquet, "SHARD_BYTES", 1)
    assert rows_of(questions, tmp_path / "out").keys() == {"i", "n", "v"}
    assert [len(table) for table in tables(tmp_path / "out").values()] == [1, 1, 1]
    assert [file.name for file in sorted((tmp_path / "out").iterdir())][-1] == "train-00002-of-00003.parquet"


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        (("--num_frames", "3", "--images", "paths"), "--images paths"),
        (("--num_frames", "0"), "at least 1"),
        (("--turns", "separate"), "--turns"),
    ],
)
def test_options_that_contradict(questions, tmp_path, options, fact):
    with pytest.raises(ConfigError, match=fact):
        rows_of(questions, tmp_path / "out", *options)


def test_a_folder_that_is_not_empty(questions, tmp_path):
    with pytest.raises(ConfigError, match="not empty"):
        rows_of(questions, tmp_path)


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_an_image_that_asks_to_be_turned_is_the_same_everywhere(tmp_path, orientation):
    """``datasets`` turns what it decodes; training and evaluation take the stored pixels, in which boxes are given."""
    wide = np.zeros((24, 48, 3), np.uint8)
    wide[:8, :16] = 250
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(wide).save(tmp_path / "a.jpg", exif=exif, quality=95)
    row = {"id": "a", "images": ["a.jpg"], "question": "Is it wide?", "options": ["yes", "no"], "answer": "A"}
    (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n")
    with Image.open(tmp_path / "a.jpg") as stored:
        wanted = np.asarray(stored).transpose(2, 0, 1)  # [3, 24, 48]
    (trained,) = read_recorded(tmp_path / "q.jsonl", RecordSettings())["train"]
    (shown,) = RecordDataset([trained], "train").prompt(0).images
    (asked,) = OwnQuestions(BenchmarkOptions()).read(tmp_path / "q.jsonl")
    embedded = rows_of(tmp_path / "q.jsonl", tmp_path / "out")["a"]["images"][0]["bytes"]
    decoded = ImageOps.exif_transpose(Image.open(io.BytesIO(embedded)))
    assert np.array_equal(shown, wanted)
    assert np.array_equal(shown_batch([asked], "jsonl").images[0][0], wanted)
    assert np.array_equal(np.asarray(decoded).transpose(2, 0, 1), wanted)
