"""One's own questions as training data: what is shown, asked and learnt, splits by scene, and what is refused."""

import json

import numpy as np
import pytest
import torch

from remot.data.media import write_video
from remot.data.prompt_data import DataOptions, PromptData
from remot.errors import AnnotationError, ConfigError, DecodeError, EmptySplitError
from remot.rewards import AnswerReward, ExactAnswerReward, PerTaskReward
from remot.structures import Question, Reference

#: Ten frames a second, each grey of its own number.
NUM_FRAMES = 20


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    levels = np.arange(NUM_FRAMES, dtype=np.uint8)[:, None, None, None] * 10
    frames = np.ascontiguousarray(np.broadcast_to(levels, (NUM_FRAMES, 16, 16, 3)))
    for number in range(5):
        write_video(folder / f"v{number}.mp4", frames, 10)
    return folder


def rows(num_scenes=5):
    """Four questions about each video."""
    found = []
    for number in range(num_scenes):
        video = {"video": f"v{number}.mp4"}
        found += [
            video | {"question": "Which?", "options": ["left", "right"], "answer": "B", "task": "side?"},
            video | {"question": "How many?", "answer": number, "task": "count"},
            video | {"question": "When?", "answer": [[0.5, 1.0]], "start": 0.5, "end": 1.5},
            video | {"question": "What?", "answer": "ball", "reasoning": "It rolls."},
        ]
    return found


def write(media, content, name="q.json"):
    (media / name).write_text(json.dumps(content))
    return media / name


def data_of(file, **settings):
    options = settings.pop("options", {"num_frames": 4})
    sizes = {"batch_size": 2, "num_train_prompts_per_epoch": 4, "val_fraction": 0.2, "test_fraction": 0.2}
    data = PromptData(records=file, options=DataOptions(**options), **(sizes | settings))
    data.setup()
    return data


def test_splits_share_no_scene(media):
    data = data_of(write(media, rows()))
    scenes = {name: dataset.scenes() for name, dataset in data.prompts.items()}
    assert {name: len(dataset) for name, dataset in data.prompts.items()} == {"train": 12, "val": 4, "test": 4}
    assert sum(map(len, scenes.values())) == len(set().union(*scenes.values())) == 5
    again = data_of(write(media, rows()), options={"seed": 7})
    assert {name: dataset.scenes() for name, dataset in again.prompts.items()} == scenes
    other = [data_of(media / "q.json", options={"held_out_seed": seed}).prompts["test"].scenes() for seed in range(6)]
    assert any(one != scenes["test"] for one in other)


def test_what_is_asked_and_learnt(media):
    by_text = {one.question.text.split("\n")[0]: one.question for one in data_of(write(media, rows())).prompts["train"]}
    letter, number, when, word = (by_text[text] for text in ("Which?", "How many?", "When?", "What?"))
    assert letter.text.splitlines()[1:3] == ["A. left", "B. right"]
    assert (letter.response, word.response) == ("<answer>B</answer>", "<think>It rolls.</think><answer>ball</answer>")
    assert (letter.task, number.task, when.task, word.task) == ("side_", "count", "intervals", "word")
    assert (number.reference.answer_type, number.reference.number) == ("number", float(number.scene_id[1]))
    assert (when.reference.intervals, letter.reference.options) == (((0.5, 1.0),), ("left", "right"))
    assert {question.domain for question in by_text.values()} == {"q"}


def test_frames_of_the_part_of_a_video(media):
    """0.5 to 1.5 s are frames 5 to 15; four of them are 5, 8, 11 and 15, whose grey is ten times their number."""
    data = data_of(write(media, rows()))
    samples = {one.question.text.split("\n")[0]: one for one in data.prompts["train"]}
    [video], [whole] = samples["When?"].videos, samples["What?"].videos
    assert samples["When?"].images == []
    assert video.pts_seconds == pytest.approx((0.5, 0.8, 1.1, 1.5))
    assert torch.allclose(video.frames.float().mean((1, 2, 3)), torch.tensor([50.0, 80, 110, 150]), atol=4)
    assert whole.pts_seconds == pytest.approx((0.0, 0.6, 1.2, 1.9))


def test_images_are_shown_in_their_order(media):
    from PIL import Image

    for name, level in (("a", 10), ("b", 200)):
        Image.new("RGB", (8, 8), (level,) * 3).save(media / f"{name}.png")
    file = write(media, [{"images": ["/elsewhere/b.png", "a.png"], "question": "?", "answer": 1}])
    [sample] = data_of(file, val_fraction=0, test_fraction=0).prompts["train"]
    assert [int(image.max()) for image in sample.images] == [200, 10]
    assert (sample.videos, sample.question.scene_id) == ([], "/elsewhere/b.png")


def test_rewards_by_type_of_answer(media):
    """A configuration replaces the reward of one type; all others keep the default."""
    questions = [one.question for one in data_of(write(media, rows())).prompts["train"]][:4]
    by_type = {question.reference.answer_type: question for question in questions}
    reward = PerTaskReward({"word": ExactAnswerReward("exact")}, AnswerReward(), by="answer_type")
    output = reward(["<answer>Ball.</answer>", "<answer>(B)</answer>"], [by_type["word"], by_type["letter"]])
    assert output.total.tolist() == [0, 1]
    assert AnswerReward()(["<answer>Ball.</answer>"], [by_type["word"]]).total.tolist() == [1]
    with pytest.raises(ConfigError, match="answer type 'letter'"):
        PerTaskReward({"word": AnswerReward()}, by="answer_type")(["x"], [by_type["letter"]])


def test_an_answer_outside_its_element_can_be_worth_less():
    question = Question("p", "?", (), "d", "s", reference=Reference(number=10.0, answer_type="number"))
    output = AnswerReward(without_element=0.5)(["9", "<answer>9</answer>", "<think>1</think>10"], [question] * 3)
    assert output.total.tolist() == pytest.approx([0.45, 0.9, 0.5])
    assert output.success.tolist() == [False, False, True]


def test_a_type_that_does_not_exist():
    with pytest.raises(AnnotationError, match="colour"):
        Reference(answer="x", answer_type="colour")


@pytest.mark.parametrize(
    ("change", "error", "facts"),
    [
        ({"video": "gone.mp4"}, DecodeError, ("row 2", "gone.mp4", "images_root")),
        ({"video": "../v0.mp4"}, AnnotationError, ("row 2", "outside")),
        ({"answer": "Z", "options": ["a", "b"]}, AnnotationError, ("row 2", "'Z'")),
        ({"quesion": "?"}, AnnotationError, ("row 2", "'quesion'", "'question'")),
    ],
)
def test_faults_name_file_and_row(media, change, error, facts):
    content = rows()
    content[1] |= change
    with pytest.raises(error) as raised:
        data_of(write(media, content))
    assert all(fact in str(raised.value) for fact in ("q.json", *facts))


def test_a_part_that_the_video_does_not_have(media):
    content = [{"video": "v0.mp4", "start": 30, "question": "?", "answer": 1}]
    with pytest.raises(DecodeError, match=r"row 1.*30 and 1\.9 s; it ends at 1\.9 s"):
        data_of(write(media, content), val_fraction=0, test_fraction=0)


def test_too_few_scenes(media):
    file = write(media, rows(2))
    with pytest.raises(EmptySplitError, match=r"q\.json.*val"):
        data_of(file)
    assert set(data_of(file, val_fraction=0, test_fraction=0).prompts) == {"train"}
    with pytest.raises(ConfigError, match="val_fraction"):
        data_of(file, val_fraction=0.6, test_fraction=0.5)


def test_no_frames():
    with pytest.raises(ConfigError, match="num_frames: 0"):
        DataOptions(num_frames=0)
