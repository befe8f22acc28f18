"""Whether answers come from the frames."""

import numpy as np
import pytest
import torch

from remot.evaluation.benchmark import EvaluationSettings
from remot.evaluation.vision_use import CHANGES, PromptAccuracy, changed_frames, lettered, measure_vision_use
from remot.structures import PromptBatch
from tests.tiny import make_batch, make_policy, make_video


def accuracy(seen, blank, swapped, chance=1 / 3, num_prompts=60):
    """Of so many prompts, with the given shares of right letters, all prompts alike within one letter of three."""

    def shares(mean):
        values = np.zeros(3 * num_prompts)
        values[: round(mean * 3 * num_prompts)] = 1
        return np.random.default_rng(0).permutation(values).reshape(num_prompts, 3).mean(1)

    right = {"seen": shares(seen), "blank": shares(blank), "swapped": shares(swapped), "reversed": shares(0.2)}
    logprobs = {name: np.full(num_prompts, -1.0 - (name != "seen")) for name in right}
    return PromptAccuracy(right, logprobs, np.full(num_prompts, chance))


def test_metrics_are_means_and_drops():
    metrics = accuracy(0.9, 0.4, 0.3).metrics()
    assert metrics == pytest.approx(
        {
            "accuracy": 0.9,
            "chance": 1 / 3,
            "drop_blank": 0.5,
            "drop_swapped": 0.6,
            "drop_reversed": 0.7,
            **{f"logprob_drop_{name}": 1.0 for name in CHANGES},
        }
    )


@pytest.mark.parametrize(
    ("seen", "blank", "swapped", "is_blind"),
    [
        (0.9, 0.9, 0.9, True),  # the text gives the answers away
        (0.9, 0.35, 0.33, False),  # it sees
        (0.33, 0.33, 0.33, False),  # it cannot answer yet
        (0.9, 0.9, 0.35, False),  # its guess for grey frames happens to be good; those of others mislead it
    ],
)
def test_a_blind_policy_beats_chance_and_loses_nothing(seen, blank, swapped, is_blind):
    assert accuracy(seen, blank, swapped).is_blind is is_blind


def test_few_prompts_prove_nothing():
    assert not accuracy(0.67, 0.67, 0.67, num_prompts=2, chance=0.6).is_blind


def same(images, others):
    return len(images) == len(others) and all(torch.equal(a, b) for a, b in zip(images, others, strict=True))


def alike(num_prompts=4):
    """Prompts of three images each."""
    batch = make_batch(2 * num_prompts)
    rows = [row for row in range(len(batch)) if len(batch.images[row]) == 3]
    return PromptBatch(*([held[row] for row in rows] for held in (batch.images, batch.questions, batch.clip_ids)))


def test_prompts_that_no_other_can_lend_frames_are_left_out():
    batch = make_batch(3)  # 2, 3 and 2 images
    usable = lettered(batch)
    assert [question.prompt_id for question in usable.questions] == ["0-0", "0-2"]
    assert all(map(same, usable.images, (batch.images[0], batch.images[2])))


def test_blank_frames_keep_their_sizes():
    batch = alike()
    blank = changed_frames(batch, "blank")
    for images, others in zip(blank.images, batch.images, strict=True):
        assert [image.shape for image in images] == [image.shape for image in others]
        assert all((image == 128).all() for image in images)
    assert blank.questions == batch.questions


def test_reversed_frames_are_those_of_the_prompt():
    batch = alike()
    changed = changed_frames(batch, "reversed")
    assert all(map(same, changed.images, (list(images)[::-1] for images in batch.images)))


def test_swapped_frames_are_those_of_another_prompt_with_as_many():
    batch = make_batch(5)
    usable = lettered(batch)
    changed = changed_frames(usable, "swapped")
    for row, images in enumerate(changed.images):
        assert len(images) == len(usable.images[row])
        assert not same(images, usable.images[row])
        assert any(same(images, others) for others in usable.images)


def test_videos_change_as_images_do():
    batch = alike(2)
    batch.videos = [[make_video(4, seed=seed)] for seed in range(2)]
    first, second = (videos[0] for videos in batch.videos)
    assert torch.equal(changed_frames(batch, "reversed").videos[0][0].frames, first.frames.flip(0))
    assert torch.equal(changed_frames(batch, "swapped").videos[0][0].frames, second.frames)
    blank = changed_frames(batch, "blank").videos[0][0]
    assert blank.frames.shape == first.frames.shape
    assert (blank.frames == 128).all()


@pytest.fixture(scope="module")
def policy():
    return make_policy()


def test_a_policy_is_measured_with_all_changes(policy):
    batch = alike(3)
    found = measure_vision_use(policy, batch, EvaluationSettings(max_new_tokens=4), prompts_together=2)
    assert set(found.right) == set(found.logprobs) == {"seen", *CHANGES}
    assert all(values.shape == (len(batch),) for values in (*found.right.values(), *found.logprobs.values()))
    assert found.chance == pytest.approx(np.full(len(batch), 1 / 3))
    assert all((values < 0).all() for values in found.logprobs.values())
    assert (found.logprobs["seen"] != found.logprobs["swapped"]).any()  # this one does look


def test_log_probabilities_are_means_over_the_right_response(policy):
    batch = alike(2)
    found = measure_vision_use(policy, batch, EvaluationSettings(max_new_tokens=4))
    ids = policy.texts.tokens_of_response(batch.questions[0].response)[0]
    first = PromptBatch(*(held[:1] for held in (batch.images, batch.questions, batch.clip_ids)))
    with torch.no_grad():
        alone = policy.completion_logprobs(policy.encode(policy.process(first)), torch.tensor([[ids]]))
    assert found.logprobs["seen"][0] == pytest.approx(float(alone.mean()), rel=1e-5)
