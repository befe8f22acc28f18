"""remot-bench on a built folder: which prompts, which scores, and what is reached without images."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from remot.commands.evaluate_data import build_bench
from remot.data.clips.exclusions import names_of_sources
from remot.errors import AnnotationError, ConfigError, EmptySplitError
from remot.evaluation.benchmarks.base import BenchmarkOptions
from remot.evaluation.benchmarks.contamination import contamination
from remot.evaluation.benchmarks.remot_bench import DOMAINS, RemotBench, domain_of
from remot.evaluation.benchmarks.remot_bench.chance import baselines_of, expected_scores, task_baselines
from remot.structures import MIN_SCENES_FOR_95, Question, Reference
from tests.datatools.builds import built, plain_root
from tests.evaluation.benchmarks.stub import counts_of, prompt_of, values_of, verdicts_of
from tests.helpers import PROJECT, join_questions, make_question, respond

#: Of remot-bench as it is built from the clips that come with the library.
VERSION = "bd5078155d6811bb8575bc8ac45726f3c76862da11178e4b42b991504ec23aef"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("bench")
    return built(plain_root(base / "clips"), base / "out", 20)[0]


def questions_of(*solutions, **settings):
    return [
        replace(make_question(text, prompt_id=f"p{k}", **settings), scene_id=f"s{k}")
        for k, text in enumerate(solutions)
    ]


def asked(questions):
    return [prompt_of(one.prompt_id, gold=one.solution, scene=one.scene_id, row=one) for one in questions]


def test_the_test_split_is_asked_with_its_own_images(folder):
    lines = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    held_out = [line for line in lines if line["remot"]["split"] == "test"]
    prompts = RemotBench().read(folder)
    assert [prompt.prompt_id for prompt in prompts] == [line["id"] for line in held_out]
    assert [prompt.text for prompt in prompts] == [line["messages"][0]["content"] for line in held_out]
    assert list(prompts[0].images) == [folder / name for name in held_out[0]["images"]]
    assert all(file.is_file() for prompt in prompts for file in prompt.files)
    assert prompts[0].sources == (held_out[0]["remot"]["scene"], held_out[0]["remot"]["clip"])
    assert len(RemotBench(BenchmarkOptions(split="all")).read(folder)) == len(lines)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """remot-bench as ``remot evaluate`` builds it from the clips that come with the library."""
    folder = tmp_path_factory.mktemp("shipped") / "remot-bench"
    build_bench(folder)
    return folder


def test_the_version_of_the_shipped_benchmark(shipped):
    """What changes it makes another benchmark: bump the version here and in its README, and measure anew."""
    assert RemotBench().version(shipped) == VERSION
    readme = PROJECT / "remot" / "evaluation" / "benchmarks" / "remot_bench" / "README.md"
    assert VERSION[:16] in readme.read_text()


def test_the_shipped_benchmark_covers_five_domains(shipped):
    prompts = RemotBench().read(shipped)
    assert len(prompts) == 693
    scenes = {name: {one.scene for one in prompts if domain_of(one.row) == name} for name in DOMAINS}
    counts = Counter(domain_of(one.row) for one in prompts)
    assert set(counts) == set(DOMAINS)
    assert min(counts.values()) >= 40
    assert all(len(found) >= MIN_SCENES_FOR_95 for found in scenes.values())
    recorded = {one.scene for one in prompts if one.scene.startswith(("aloha-", "doom-", "miniworld-"))}
    assert scenes["simulation"] <= recorded
    assert not recorded & (scenes["navigation"] | scenes["manipulation"] | scenes["composite"])


@pytest.mark.slow
def test_all_of_the_shipped_benchmark_is_scored(shipped):
    benchmark = RemotBench()
    prompts = benchmark.read(shipped)
    verdicts = verdicts_of(benchmark, prompts, [prompt.row.response for prompt in prompts])
    values, counts = values_of(benchmark, verdicts), counts_of(benchmark, verdicts)
    names = [f"domain/{name}/overall" for name in DOMAINS] + ["task/detection/success", "task/object_motion/success"]
    assert {name: values[name] for name in names} == dict.fromkeys(names, 1.0)
    assert counts["overall"] + counts["task/detection/success"] + counts["task/object_motion/success"] == len(prompts)
    baselines = {metric.name: metric.chance for metric in benchmark.metrics(verdicts)}
    assert {"chance", "law", "blind"} <= set(baselines["domain/composite/overall"])
    assert set(baselines["task/object_motion/success"]) == {"chance", "blind"}


def test_where_the_clips_lay_is_no_part_of_the_version(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    manifest = json.loads((folder / "manifest.json").read_text())

    def version_with(**changes):
        (copy / "manifest.json").write_text(json.dumps(manifest | changes))
        return RemotBench().version(copy)

    assert version_with(root="/elsewhere", remot_version="9.9") == RemotBench().version(folder)
    sources = manifest["sources"] | {"sha256": {"clip.json": "0" * 64}}
    assert len({version_with(), version_with(seeds={"train": 1, "test": 0}), version_with(sources=sources)}) == 3


@pytest.mark.parametrize(
    ("attribute", "clips", "domain"),
    [
        ("camera_yaw", "camera", "navigation"),
        ("agent_turn", "navigation", "navigation"),
        ("gripper", "lab", "manipulation"),
        ("effector_depth", "lab", "manipulation"),
        ("effector_composite", "lab", "composite"),
        ("effector_composite", "simulation", "simulation"),
        ("camera_yaw", "game", "simulation"),
        ("object_horizontal", "game", "perception"),
    ],
)
def test_the_domain_of_a_prompt(attribute, clips, domain):
    assert domain_of(replace(make_question("AAA", attribute=attribute), domain=clips)) == domain


def test_prompts_about_two_attributes_are_composite_and_those_without_letters_perception():
    assert (
        domain_of(join_questions(make_question("ABB"), make_question("CCC", attribute="camera_pitch"))) == "composite"
    )
    assert domain_of(Question("a", "?", (), "game", "a", task="count", reference=Reference(number=2.0))) == "perception"


def test_baselines_of_tasks_without_letters():
    """Four words, each the right one of a quarter; the text tells it in both halves."""
    words = ("left", "right", "up", "down")
    worded = [
        Question(str(k), f"which, {word}?", (), "d", f"s{k}", task="way", reference=Reference(answer=word))
        for k, word in enumerate(words * 10)
    ]
    found = task_baselines(worded)
    assert found["right"] == found["score"]
    assert found["right"]["chance"] == 0.25
    assert found["right"]["blind"] > 0.9
    boxed = [replace(one, reference=Reference(boxes=((0.0, 0.0, 0.5, 0.5),))) for one in worded]
    assert task_baselines(boxed) == {"score": {"blind": pytest.approx(1.0)}}
    assert task_baselines([]) == {}


def test_perfect_answers_are_perfect(folder):
    benchmark = RemotBench()
    prompts = benchmark.read(folder)
    values = values_of(benchmark, verdicts_of(benchmark, prompts, [prompt.row.response for prompt in prompts]))
    for name in ("overall", "partial", "partial_strict", "logic", "format"):
        assert values[name] == 1


def test_splits_and_folders_that_are_none_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="tset"):
        RemotBench(BenchmarkOptions(split="tset")).read(folder)
    with pytest.raises(ConfigError):
        RemotBench().read(tmp_path)


def test_a_split_without_prompts_is_refused(folder, tmp_path):
    from remot.data.records.folder import MANIFEST, RECORDS
    from tests.datatools.builds import seal_folder

    copy = tmp_path / "copy"
    copy.mkdir()
    lines = [
        line for line in (folder / RECORDS).read_text().splitlines() if json.loads(line)["remot"]["split"] != "val"
    ]
    (copy / RECORDS).write_text("\n".join(lines) + "\n")
    (copy / MANIFEST).write_text((folder / MANIFEST).read_text())
    with pytest.raises(AnnotationError, match="manifest"):
        RemotBench().read(copy)
    seal_folder(copy)
    assert RemotBench().version(copy) != RemotBench().version(folder)
    with pytest.raises(EmptySplitError, match="val"):
        RemotBench(BenchmarkOptions(split="val")).read(copy)


def test_scores_by_hand():
    """Gold ABB (+, -, -). ABBA: strict 0, zip 1, not overall. AB: 2 of 3 by zip. AAB says +, +, -: possible."""
    benchmark = RemotBench()
    verdicts = verdicts_of(
        benchmark,
        asked(questions_of("ABB", "ABB", "ABB", "ABB")),
        [respond("ABB"), respond("ABBA"), respond("AB"), "x"],
    )
    values = values_of(benchmark, verdicts)
    assert values["overall"] == 0.25
    assert values["partial_strict"] == 0.25
    assert values["partial"] == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    assert values["format"] == 0.25
    assert values["group/camera/overall"] == 0.25
    assert values["attribute/camera_yaw/partial"] == values["partial"]
    assert values["clips/test/overall"] == values["domain/navigation/overall"] == 0.25
    assert "group/gripper/overall" not in values
    assert verdicts[3].parsed is None


def test_directions_by_hand():
    """Gold ACB (+, none, -). ACB and ACA: 2 of 2 and 1 of 2; BAC names one motion, wrongly; CCC and "x" name none."""
    questions = questions_of(*["ACB"] * 5, "CCC")
    replies = [respond(letters) for letters in ("ACB", "ACA", "BAC", "CCC", "x", "AAA")]
    verdicts = verdicts_of(RemotBench(), asked(questions), replies)
    values, counts = values_of(RemotBench(), verdicts), counts_of(RemotBench(), verdicts)
    assert values["direction"] == values["attribute/camera_yaw/direction"] == (1 + 0.5 + 0) / 3
    assert counts["direction"] == 3
    still = verdicts_of(RemotBench(), asked(questions_of("CCC")), [respond("AAA")])
    assert "direction" not in values_of(RemotBench(), still)


def test_seeing_what_moved_and_not_which_way_is_two_thirds_of_the_letters_and_half_of_the_directions():
    """Rests are found and directions guessed, each of the two ways for every prompt."""
    questions = questions_of(*["ACB"] * 2)
    values = values_of(RemotBench(), verdicts_of(RemotBench(), asked(questions), [respond("ACB"), respond("BCA")]))
    assert values["partial"] == pytest.approx(2 / 3)
    assert values["direction"] == 0.5


def test_groups_of_attributes():
    attributes = ("effector_vertical", "gripper", "camera_pitch")
    questions = [replace(make_question("ABB", attribute=name, prompt_id=name), scene_id=name) for name in attributes]
    counts = counts_of(RemotBench(), verdicts_of(RemotBench(), asked(questions), [respond("ABB")] * 3))
    assert (counts["group/gripper/overall"], counts["group/camera/overall"], counts["overall"]) == (2, 1, 3)


def test_chance_by_hand():
    """27 ways to answer, 13 of which can be true together; ABB is one of them."""
    question = make_question("ABB")
    plain, law = (expected_scores(question, knows_law=knows) for knows in (False, True))
    assert plain["overall"] == pytest.approx(1 / 27)
    assert plain["partial"] == pytest.approx(1 / 3)
    assert plain["logic"] == pytest.approx(13 / 27)
    assert law["overall"] == pytest.approx(1 / 13)
    assert law["logic"] == 1
    # Of the 13, five have + at 1→2, five have - at 1→3, five have - at 2→3.
    assert law["partial"] == pytest.approx(5 / 13)
    # Of three letters two name a motion, one the right one; of the 13 answers ten and five.
    assert plain["direction"] == law["direction"] == pytest.approx(0.5)
    still = expected_scores(make_question("CCC"), knows_law=False)["direction"]
    assert still != still


def test_chance_of_two_groups_multiplies():
    joined = join_questions(make_question("ABB"), make_question("CCC", attribute="camera_pitch"))
    law = expected_scores(joined, knows_law=True)
    assert law["overall"] == pytest.approx(1 / 169)
    assert law["partial"] == pytest.approx((5 / 13 + 3 / 13) / 2)  # "none" in three of the 13
    assert expected_scores(joined, knows_law=False)["logic"] == pytest.approx((13 / 27) ** 2)


def test_pairs_that_are_not_all_asked_about_have_no_law():
    one = make_question("A", pairs=((1, 2),))
    scores = expected_scores(one, knows_law=True)
    assert scores["overall"] == pytest.approx(1 / 3)
    assert scores["logic"] != scores["logic"]


def test_a_pattern_that_always_holds_is_found_by_the_blind_baseline():
    questions = questions_of(*["ABB"] * 8)
    baselines = baselines_of(questions)
    names = [one.prompt_id for one in questions]
    assert baselines.of("overall", names)["blind"] == 1
    assert baselines.of("overall", names)["law"] == pytest.approx(1 / 13)
    assert "blind" not in baselines.of("overall", [*names, "unknown"])


def test_tasks_without_letters_are_scored_by_their_reference():
    benchmark = RemotBench()

    def question(name, task, **reference):
        return Question(name, "?", (), "d", name, task=task, reference=Reference(**reference), target="t")

    rows = [
        question("a", "count", number=10.0),
        question("b", "count", number=4.0),
        question("c", "when", intervals=((0.0, 10.0),)),
        question("d", "word", answer="left"),
        question("e", "map", map_centres={"chair": ((1.0, 1.0),)}),
    ]
    golds = [10.0, 4.0, ((0.0, 10.0),), "left", "t"]
    prompts = [
        prompt_of(row.prompt_id, gold=gold, scene=row.scene_id, row=row) for row, gold in zip(rows, golds, strict=True)
    ]
    verdicts = verdicts_of(benchmark, prompts, ["<answer>9</answer>", "4", "2.0 to 10.0", "Left", "x"])
    values = values_of(benchmark, verdicts)
    assert values["task/count/score"] == pytest.approx((0.9 + 1) / 2)
    assert values["task/count/success"] == 0.5
    assert values["task/when/score"] == pytest.approx(0.8)
    assert values["task/word/success"] == 1
    assert counts_of(benchmark, verdicts)["task/map/success"] == 0
    notes = {metric.name: metric.note for metric in benchmark.metrics(verdicts)}
    assert notes["task/map/success"].startswith("1 ")


def test_shared_scenes_are_found_by_name(folder):
    lines = [json.loads(line)["remot"] for line in (folder / "prompts.jsonl").read_text().splitlines()]
    trained = next(line["scene"] for line in lines if line["split"] == "train")
    held_out = next(line["scene"] for line in lines if line["split"] == "test")
    prompts = [
        prompt_of("a", sources=(f"{trained.upper()}.mp4",)),
        prompt_of("b", sources=(trained,)),
        prompt_of("c", sources=(held_out, "elsewhere")),
    ]
    for given in (folder, folder / "manifest.json"):
        found = contamination(prompts, given)
        assert found.num_prompts == 2
        assert trained.lower() in found.names
        assert trained.lower() in str(found)
    none = contamination(prompts[2:], folder)
    assert none.names == ()
    assert "no scene" in str(none)
    assert contamination(RemotBench().read(folder), folder).names == ()
    with pytest.raises(ConfigError, match="nowhere"):
        contamination(prompts, folder / "nowhere")


def test_numbers_alone_name_no_scene():
    assert names_of_sources(["0001/00012.png"]) == {"0001/00012"}
    assert names_of_sources(["a/7", "a/abc.mp4", "", "Kitchen"]) == {"a/7", "a/abc", "kitchen"}


def test_scans_of_one_room_share_its_name():
    """ScanNet's scene0024_02 is the third scan of room 24, whose name STI-Bench gives alone, and images lie below."""
    room = names_of_sources(["scene0024.mp4"])
    for other in ("scans/Scene0024_02.mp4", "scannet/scene0024_00/color/0.jpg"):
        assert not room.isdisjoint(names_of_sources([other]))
    for other in ("scene0024_021.mp4", "myscene0024_00.mp4", "scene0025_00.mp4"):
        assert room.isdisjoint(names_of_sources([other]))


def test_a_shared_scan_and_its_room_count_once(folder, monkeypatch):
    trained = SimpleNamespace(split="train", clip_id="clip", question=SimpleNamespace(scene_id="scene0024_02"))
    monkeypatch.setattr("remot.evaluation.benchmarks.contamination.from_record", lambda *_: trained)
    prompts = [prompt_of("a", sources=("scene0024_02",)), prompt_of("b", sources=("scene0024_00",))]
    assert contamination(prompts[:1], folder).names == ("scene0024_02",)
    assert contamination(prompts[1:], folder).names == ("scene0024",)


@pytest.mark.slow
def test_the_benchmark_needs_no_lightning():
    """Importing it takes seconds, and ``remot evaluate`` has no use for it."""
    report = "import sys, remot.evaluation.benchmarks.remot_bench; print({'lightning', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
