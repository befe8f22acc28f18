"""What a benchmark asks about is left out of training, by the names in the benchmark's own files."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from remot.data.prompt_data import DataOptions, PromptData
from remot.data.records.benchmark_items import ITEM_KEYS, OTHER_BENCHMARKS, benchmark_items, named_benchmark
from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks import BENCHMARKS
from remot.evaluation.benchmarks.charades_sta import CharadesSTA
from remot.evaluation.benchmarks.own_questions import OwnQuestions
from remot.evaluation.benchmarks.sti_bench import STIBench
from remot.evaluation.benchmarks.vsi_bench import VSIBench
from tests.data.handmade import mixed_clips, write_folder
from tests.data.made import data_module
from tests.datatools.builds import VARIED, built, lines_of, varied_root

VSI = {
    "id": 7, "dataset": "scannet", "scene_name": "scene0011_00", "question_type": "object_counting",
    "question": "How many chairs?", "ground_truth": "4", "options": None,
}  # fmt: skip
STI = {
    "ID": 12, "Video": "indoor/scene0025.mp4", "Task": "Pose Estimation", "Scene": "indoor", "Question": "How far?",
    "Candidates": {"A": "1 m", "B": "2 m"}, "Answer": "B", "time_start": 0.0, "time_end": 8.0,
}  # fmt: skip


def write(file, *rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_every_benchmark_is_known():
    assert {*ITEM_KEYS, *OTHER_BENCHMARKS} == set(BENCHMARKS)


@pytest.mark.parametrize(
    ("benchmark", "row", "expected"),
    [
        ("vsi-bench", VSI, {"scene0011_00", "scene0011"}),
        ("sti-bench", STI, {"scene0025", "indoor/scene0025"}),
        ("nextgqa", {"video_id": 4010069381, "qid": 3}, {"4010069381"}),
        ("v-star", {"vid": "clips/Abc_12.mp4"}, {"abc_12", "clips/abc_12"}),
        ("charades-sta", {"video": "AO8RW.mp4", "caption": "x"}, {"ao8rw"}),
        ("remot-16k-test", {"images": ["a/scene0001_00/40.png"]}, {"a/scene0001_00/40", "scene0001_00", "scene0001"}),
        ("spar-bench", {"image": [{"path": "room/frame-7.jpg"}]}, {"frame-7", "room/frame-7"}),
        ("vlm2-bench", {"images": ["gc/pair_a.png"]}, {"pair_a", "gc/pair_a"}),
    ],
)
def test_names_in_rows(tmp_path, benchmark, row, expected):
    assert benchmark_items(benchmark, write(tmp_path / "rows.jsonl", row)) == expected


def test_names_in_other_files(tmp_path):
    official = tmp_path / "charades_sta_test.txt"
    official.write_text("AO8RW 0.0 6.9##a person is putting a book on a shelf.\n\n3MSZA 24.3 30.4##turn a light on.\n")
    assert benchmark_items("charades-sta", official) == {"ao8rw", "3msza"}
    videochat = tmp_path / "charades.json"
    videochat.write_text(json.dumps({"AO8RW": {"duration": 33.7, "sentences": ["x"], "timestamps": [[0.0, 6.9]]}}))
    assert benchmark_items("charades-sta", videochat) == {"ao8rw"}
    (tmp_path / "val" / "GOT-10k_Val_000001").mkdir(parents=True)
    (tmp_path / "val" / "list.txt").touch()
    assert benchmark_items("got-10k", tmp_path / "val") == {"got-10k_val_000001"}
    table = pa.Table.from_pylist([{"Video": "scene0025.mp4"}, {"Video": "camera_3.mp4"}])
    (tmp_path / "sti").mkdir()
    pq.write_table(table, tmp_path / "sti" / "qa.parquet")
    assert benchmark_items("sti-bench", tmp_path / "sti") == {"scene0025", "camera_3"}


def test_held_out_prompts_of_a_built_folder(tmp_path):
    folder = built(varied_root(tmp_path / "clips"), tmp_path / "out", 12, **VARIED)[0]
    held_out = [line["remot"] for line in lines_of(folder) if line["remot"]["split"] != "train"]
    trained = [line["remot"] for line in lines_of(folder) if line["remot"]["split"] == "train"]
    items = benchmark_items("remot-bench", folder)
    assert all(facts["clip"].lower() in items for facts in held_out)
    assert not any(facts["clip"].lower() in items for facts in trained)


@pytest.mark.parametrize(
    ("benchmark", "row"),
    [
        (VSIBench, VSI),
        (STIBench, STI),
        (CharadesSTA, {"video": "AO8RW.mp4", "caption": "He sits.", "timestamp": [0.0, 6.9]}),
        (OwnQuestions, {"video": "a/running.mp4", "question": "?", "answer": 1, "scene": "kitchen-7"}),
    ],
)
def test_they_are_what_an_evaluation_compares_with_training_data(tmp_path, benchmark, row):
    """Both would find the same clip: each of the evaluation's sources is left out by these items."""
    file = write(tmp_path / "rows.jsonl", row)
    items = benchmark_items(benchmark.name, file)
    for prompt in benchmark().read(file):
        assert all(items & {Path(source).stem.lower()} for source in prompt.sources)


def test_scenes_of_a_benchmark_are_not_trained_on(tmp_path):
    """Whatever the case, the folder before and the ending behind; a list adds files of names."""
    root = str(write_folder(tmp_path / "clips", mixed_clips(6)))
    rows = write(tmp_path / "q.jsonl", {"video": "videos/ARM-3.MP4", "question": "?", "answer": 1})
    (tmp_path / "names.txt").write_text("c1\n")
    data = data_module(root, exclude=[Path(f"jsonl={rows}"), tmp_path / "names.txt"])
    data.setup()
    clips = {clip.clip_id for dataset in data.mixed.values() for clip in dataset.clips}
    everything = data_module(root)
    everything.setup()
    whole = {clip.clip_id for dataset in everything.mixed.values() for clip in dataset.clips}
    scenes = {clip.clip_id for dataset in everything.mixed.values() for clip in dataset.clips if clip.scene_id == "c1"}
    assert whole - clips == {"arm-3"} | scenes
    assert "excluded: 2 clips" in "\n".join(data.describe())


def test_questions_of_a_benchmark_are_not_trained_on(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"scene_{name}.png").touch()
    rows = [{"images": [f"scene_{name}.png"], "question": "?", "answer": 1} for name in "ab"]
    questions = write(tmp_path / "mine.jsonl", *rows)
    benchmark = write(tmp_path / "theirs.jsonl", {"scene_name": "scene_b"})
    data = PromptData(
        records=questions,
        val_fraction=0,
        test_fraction=0,
        options=DataOptions(exclude=Path(f"vsi-bench={benchmark}")),
        batch_size=1,
    )
    data.setup()
    assert [prompt.clip_id for prompt in data.recorded["train"].prompts] == ["scene_a.png"]
    assert "excluded: 1 prompts" in "\n".join(data.describe())


@pytest.mark.parametrize(
    ("value", "fact"),
    [("vsi-bench", "vsi-bench=PATH"), ("vsi_bench=x", "did you mean 'vsi-bench'"), ("abc=x", "sti-bench")],
)
def test_names_that_are_wrong(value, fact):
    with pytest.raises(ConfigError, match=fact):
        named_benchmark(Path(value))


def test_a_list_of_names_may_be_called_as_it_likes(tmp_path):
    (tmp_path / "a=b.txt").touch()
    assert named_benchmark(tmp_path / "a=b.txt") is None
    assert named_benchmark(tmp_path / "gone.txt") is None


def test_files_that_name_nothing(tmp_path):
    with pytest.raises(ConfigError, match=r"vsi-bench=.*gone"):
        benchmark_items("vsi-bench", tmp_path / "gone")
    with pytest.raises(AnnotationError, match="mmsi-bench") as error:
        benchmark_items("mmsi-bench", write(tmp_path / "m.jsonl", {"images": [{"bytes": "x"}]}))
    assert error.value.reason == "missing"
