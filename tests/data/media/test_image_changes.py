"""Images of a prompt changed alike: what is done, to which prompts, and that it is drawn from their addresses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from remot.data.experts import CameraYaw, ObjectHorizontal
from remot.data.media.image_changes import ImageChange, ImageChanges
from remot.errors import ConfigError
from tests.data.made import data_module

NOTHING = ImageChange((1.0, 2.0, 0.0, 0.0), (0, 1, 2), (1.0, 1.0, 1.0), 1.0, 1.0, 1.0, 1.0, False, False, 0.0, 0)


def image(seed=0, shape=(3, 8, 16)):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_nothing_is_nothing():
    assert NOTHING([image()])[0].equal(image())


def test_a_window():
    """Half of the height, as wide as high, in the lower right corner; of one that is wider than the image its width."""
    assert replace(NOTHING, window=(0.5, 1.0, 1.0, 1.0))([image()])[0].equal(image()[:, 4:, 12:])
    assert replace(NOTHING, window=(1.0, 4.0, 0.0, 0.0))([image()])[0].equal(image()[:, :4])


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"channels": (2, 0, 1)}, [200, 100, 50]),
        ({"tint": (1.2, 1.0, 0.5)}, [120, 50, 100]),
        ({"saturation": 0.0, "channels": (0, 1, 1)}, [67, 67, 67]),  # (100 + 50 + 50) / 3
        ({"contrast": 0.5}, [114, 89, 164]),  # (v - 127.5) / 2 + 127.5
        ({"brightness": 1.5}, [150, 75, 255]),
        ({"gamma": 2.0}, [39, 10, 157]),  # v² / 255
        ({"inverts": True}, [155, 205, 55]),
        ({"blurs": True}, [100, 50, 200]),  # it is of one colour
    ],
)
def test_colours_by_hand(change, wanted):
    plain = torch.tensor([100, 50, 200], dtype=torch.uint8)[:, None, None].expand(3, 4, 4)
    (found,) = replace(NOTHING, window=(1.0, 1.0, 0.0, 0.0), **change)([plain])
    assert found[:, 1, 2].tolist() == wanted
    assert found.shape == plain.shape
    assert found.dtype is torch.uint8


def test_noise_differs_between_images_and_is_as_large_as_said():
    grey = torch.full((3, 100, 200), 128, dtype=torch.uint8)
    first, second = replace(NOTHING, noise=10.0)([grey, grey])
    assert not first.equal(second)
    assert abs(float(first.float().std()) - 10) < 0.3
    assert replace(NOTHING, noise=10.0)([grey, grey])[1].equal(second)


def test_all_images_get_the_same_change():
    changes = ImageChanges(share=1.0)
    for seed in range(50):
        change = replace(changes.draw(np.random.default_rng(seed)), noise=0.0)
        one, other = change([image(), image()])
        assert one.equal(other)
        assert 0.3 < one.shape[1] / 8 <= 1


def test_how_often():
    generator = np.random.default_rng(0)
    drawn = [ImageChanges(share=0.3).draw(generator) for _ in range(2000)]
    assert abs(sum(one is not None for one in drawn) / 2000 - 0.3) < 0.04
    assert all(one.window[0] >= 0.6 for one in drawn if one)


@pytest.mark.parametrize(
    "settings", [{"share": 0.0}, {"share": 1.1}, {"least_window": 0.0}, {"least_window": float("nan")}]
)
def test_settings_that_are_no_shares(settings):
    with pytest.raises(ConfigError, match=rf"image_changes\.{next(iter(settings))} is "):
        ImageChanges(**settings)


def prompts_of(split, **settings):
    sizes = {f"num_{name}": 6 for name in ("train_prompts_per_epoch", "val_prompts", "test_prompts")}
    data = data_module(batch_size=2, **sizes, **settings)
    data.setup()
    return [data.prompts[split][number] for number in range(6)]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_training_prompts_about_the_camera_are_changed_and_no_others(split):
    """The same questions with the same answers; responses of changed prompts name no places."""
    for expert in (CameraYaw(), ObjectHorizontal()):
        plain, changed = (
            prompts_of(split, experts=[expert], image_changes=changes) for changes in (None, ImageChanges(share=1.0))
        )
        is_other = split == "train" and isinstance(expert, CameraYaw)
        for one, other in zip(plain, changed, strict=True):
            assert one.question.text == other.question.text
            assert one.question.slots == other.question.slots
            assert any(not torch.equal(*pair) for pair in zip(one.images, other.images, strict=True)) is is_other
            if not is_other:
                assert one.question == other.question


def test_an_address_has_one_change():
    first, again = (prompts_of("train", experts=[CameraYaw()], image_changes=ImageChanges()) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one.images, other.images, strict=True))
