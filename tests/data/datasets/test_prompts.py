from collections import Counter

import pytest
import torch

from remot.data.annotations.native.reader import NativeReader
from remot.data.datasets.loaders import address_loader
from remot.data.datasets.samplers import AddressSampler
from remot.data.experts import default_experts
from remot.data.media import transforms as shown
from remot.data.questions.writer import QuestionWriter
from remot.data.tasks.motion_contrast.sampler import TripletSampler
from remot.errors import ConfigError, DecodeError, EmptySplitError
from remot.evaluation import judge
from tests.data.handmade import arm_clip, mixed_clips, write_folder
from tests.data.made import triplet_at, triplet_prompts


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return list(NativeReader().read(write_folder(tmp_path_factory.mktemp("clips"), mixed_clips(3))))


def make(clips, num_prompts=10, split="train", seed=0, **writer):
    return triplet_prompts(clips, TripletSampler(default_experts()), QuestionWriter(**writer), split, num_prompts, seed)


def texts(samples):
    return [(sample.question.prompt_id, sample.question.text, sample.question.solution) for sample in samples]


def test_a_prompt_is_a_function_of_its_address(clips):
    forwards, again = make(clips), make(clips)
    expected = [forwards.prompt(address) for address in range(30)]
    found = [again.prompt(address) for address in reversed(range(30))][::-1]
    assert texts(found) == texts(expected)
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.images, other.images, strict=True))


def test_seed_and_split_change_the_prompts(clips):
    pictures = [
        [triplet_at(make(clips, **names), address).frame_indices for address in range(10)]
        for names in ({}, {"seed": 1}, {"split": "val"})
    ]
    assert pictures[0] != pictures[1] != pictures[2] != pictures[0]


def test_addresses_never_end(clips):
    data = make(clips, num_prompts=10)
    assert len(data) == 10
    assert data.prompt(3).question.prompt_id == "train/0/3"
    assert data.prompt(123).question.prompt_id == "train/12/3"
    assert triplet_at(make(clips, num_prompts=50), 123).frame_indices == triplet_at(data, 123).frame_indices


def test_images_are_the_frames_of_the_triplet(clips):
    """Frame k of the hand-made clips is grey level 10 k."""
    data = make(clips)
    for address in range(6):
        levels = [round(image.float().mean().item() / 10) for image in data.prompt(address).images]
        assert tuple(levels) == triplet_at(data, address).frame_indices
        assert data.prompt(address).images[0].shape == (3, 32, 32)


def test_binary_decodes_two_images(clips):
    sample = make(clips, binary=True)[0]
    assert len(sample.images) == 2
    assert len(sample.question.slots) == 1


def test_without_thinking_the_answer_alone_is_asked_for(clips):
    """The same question about the same frames, but for its last line, and a response without a think element."""
    at_once, thought = (make(clips, thinks=thinks)[1] for thinks in (False, True))
    *lines, closing = at_once.question.text.splitlines()
    assert lines == thought.question.text.splitlines()[:-1]
    assert closing == "Answer with three letters: <answer>...</answer>"
    assert at_once.question.response == f"<answer>{thought.question.solution}</answer>"
    assert thought.question.response.startswith("<think>")
    assert at_once.question.slots == thought.question.slots
    for question in (at_once.question, thought.question):
        assert judge(question.response, question).format == 1.0
    assert judge(thought.question.response, at_once.question).format == 0.0


def test_a_prompt_is_fetched_once(clips, monkeypatch):
    calls = []

    def counting(_, frame_indices):
        calls.append(tuple(frame_indices))
        return [torch.zeros(3, 8, 8, dtype=torch.uint8)] * len(frame_indices)

    monkeypatch.setattr(shown, "read_frames", counting)
    data = make(clips)
    assert data.prompt(4).clip_id
    assert calls == [triplet_at(data, 4).frame_indices]


def attribute(data, address):
    return triplet_at(data, address).labels[0].attribute


def test_attributes_take_turns(clips):
    data = make(clips)
    for turn in range(0, 40, 2):
        assert {attribute(data, turn), attribute(data, turn + 1)} == {"camera_yaw", "effector_horizontal"}
    assert 5 < Counter(attribute(data, turn) for turn in range(0, 40, 2))["camera_yaw"] < 15


def test_answers_are_balanced(clips):
    """1800 prompts: each word of each slot within five standard deviations of a third."""
    data = make(clips)
    slots = [Counter() for _ in range(3)]
    for address in range(1800):
        for counter, label in zip(slots, triplet_at(data, address).labels, strict=True):
            counter[label.value] += 1
    for counter in slots:
        assert all(abs(counter[value] - 600) < 5 * 400**0.5 for value in ("left", "none", "right"))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # torch, on machines with one core
@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_do_not_change_the_batches(clips, num_workers):
    data = make(clips)
    loader = address_loader(data, AddressSampler(4, 3, 2), num_workers)
    batches = list(loader)
    questions = [question for batch in batches for question in batch.questions]
    assert [len(batch) for batch in batches] == [4, 4, 4]
    assert [q.text for q in questions] == [data.prompt(address).question.text for address in range(8, 20)]
    assert batches[0].clip_ids[0] == data.prompt(8).clip_id
    assert torch.equal(batches[1].images[2][0], data.prompt(14).images[0])


def test_address_sampler():
    assert list(AddressSampler(2, 3, 4)) == [[8, 9], [10, 11], [12, 13]]
    assert list(AddressSampler(2, 2, lambda: 5)) == [[10, 11], [12, 13]]
    both = [list(AddressSampler(2, 2, 1, rank, 2)) for rank in (0, 1)]
    assert both == [[[4, 5], [8, 9]], [[6, 7], [10, 11]]]
    with pytest.raises(ConfigError, match="batch_size is 0"):
        AddressSampler(0, 1)


def test_no_triplet(clips):
    with pytest.raises(EmptySplitError, match="1 clips of the val split"):
        make([arm_clip([0.0, 0.0, 0.0])], split="val")
    with pytest.raises(ConfigError, match="has 0 prompts"):
        make(clips, num_prompts=0)


def test_a_missing_video_is_named(tmp_path):
    root = write_folder(tmp_path, mixed_clips(1))
    data = make(list(NativeReader().read(root)))
    for media in root.glob("*.mp4"):
        media.unlink()
    with pytest.raises(DecodeError, match=r"\.mp4"):
        data.prompt(0)


def test_iteration_ends_after_an_epoch_and_indices_stay_inside_it(clips):
    data = make(clips, num_prompts=5)
    assert [sample.question.prompt_id for sample in data] == [f"train/0/{k}" for k in range(5)]
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f"index {index} is outside an epoch of 5 prompts"):
            data[index]
    assert data.prompt(5).question.prompt_id == "train/1/0"


def test_a_sample_prints_its_shapes(clips):
    assert repr(make(clips)[0]) == "Sample('train/0/0', images=[(3, 32, 32), (3, 32, 32), (3, 32, 32)], videos=[])"
