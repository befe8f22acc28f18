from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from remot.data.experts import CameraYaw, EffectorHorizontal, Gripper, default_experts
from remot.data.tasks.motion_contrast.balancing import TripletIndex
from remot.data.tasks.motion_contrast.sampler import TripletSampler
from remot.errors import AnnotationError, ConfigError
from remot.motion import ATTRIBUTES, CONSISTENT_TRIPLES, PAIRS
from remot.seeding import numpy_generator
from tests.data.handmade import arm_clip, camera_clip, mixed_clips

SHARES = ATTRIBUTES["camera_yaw"].patterns
YAW = [0, 20, 40, 0.2, 20.3, 40, 30]


def plain_sign(before, after):
    """Sign of a yaw change in degrees, None between the thresholds: independent of the library."""
    change = after - before
    if abs(change) <= 1:
        return 0
    return int(np.sign(change)) if 10 <= abs(change) <= 50 else None


def all_triples(yaw):
    """Every ordered triple of frames whose pairs are all clear, by its signs."""
    found = {}
    for frames in permutations(range(len(yaw)), 3):
        signs = tuple(plain_sign(yaw[frames[i - 1]], yaw[frames[j - 1]]) for i, j in PAIRS)
        if None not in signs:
            found.setdefault(signs, set()).add(frames)
    return found


def test_no_triple_of_answers_is_more_frequent_than_it_has_to_be():
    assert max(SHARES.values()) == pytest.approx(1 / 9)


def test_askable_agrees_with_trying_everything():
    clip, expected = camera_clip(YAW), all_triples(YAW)
    (candidate,) = TripletSampler([CameraYaw()]).candidates(clip)
    assert set(candidate.patterns) == expected.keys() <= set(CONSISTENT_TRIPLES)
    assert candidate.subject == ""


def test_sampling_is_valid_and_uniform_for_every_pattern():
    """200 draws of each pattern hit only true triples and, where there are at most 20, every one of them."""
    clip, expected = camera_clip(YAW), all_triples(YAW)
    sampler, generator = TripletSampler([CameraYaw()]), numpy_generator(0)
    for signs, triples in expected.items():
        drawn = Counter(sampler.sample(clip, 0, "", signs, generator).frame_indices for _ in range(200))
        assert drawn.keys() <= triples
        if len(triples) <= 20:
            assert drawn.keys() == triples
            mean = 200 / len(triples)
            assert max(abs(count - mean) for count in drawn.values()) < 5 * mean**0.5


def test_labels_agree_with_an_independent_reading():
    clip, sampler, generator = camera_clip(YAW), TripletSampler([CameraYaw()]), numpy_generator(1)
    (candidate,) = sampler.candidates(clip)
    for signs in candidate.patterns:
        triplet = sampler.sample(clip, 0, "", signs, generator)
        for sign, pair, label in zip(signs, PAIRS, triplet.labels, strict=True):
            before, after = (YAW[triplet.frame_indices[number - 1]] for number in pair)
            assert label.pair == pair
            assert ATTRIBUTES["camera_yaw"].code_of(label.value) == sign == plain_sign(before, after)
            assert label.magnitude == pytest.approx(abs(after - before))


def test_what_never_moves_is_not_asked():
    clip = arm_clip([0.0, 0.3, 0.6, 0.0], opening=[0.5] * 4)
    found = TripletSampler(default_experts()).candidates(clip)
    assert [default_experts()[candidate.expert_index].attribute.name for candidate in found] == ["effector_horizontal"]


def test_min_gap():
    sampler = TripletSampler([CameraYaw()], min_gap_frames=3)
    (candidate,) = sampler.candidates(camera_clip(YAW))
    generator = numpy_generator(0)
    for signs in candidate.patterns:
        frames = sampler.sample(camera_clip(YAW), 0, "", signs, generator).frame_indices
        assert min(abs(a - b) for a, b in permutations(frames, 2)) >= 3


def test_long_clips_are_thinned_the_same_way_every_time():
    clip = camera_clip(np.repeat([0, 20, 40, 20], 50))
    drawn = []
    for _ in range(2):
        sampler, generator = TripletSampler([CameraYaw()], max_candidate_frames=16), numpy_generator(0)
        drawn.append([sampler.sample(clip, 0, "", (1, 1, 1), generator).frame_indices for _ in range(50)])
    assert drawn[0] == drawn[1]
    frames = {frame for triple in drawn[0] for frame in triple}
    assert len(frames) <= 16
    assert max(frames) >= 100


def test_cache_is_bounded_and_changes_nothing():
    clips = [camera_clip(YAW, clip_id=f"clip-{k}") for k in range(5)]
    sampler = TripletSampler([CameraYaw()], cache_size=2)
    for _ in range(2):
        assert all(sampler.candidates(clip) for clip in clips)
    assert len(sampler._cache) == 2


def test_unavailable_pattern_and_bad_settings():
    sampler = TripletSampler([EffectorHorizontal(), Gripper()])
    with pytest.raises(AnnotationError, match=r"clip arm has no three frames"):
        sampler.sample(arm_clip([0.0, 0.3, 0.6]), 0, "left arm", (0, 0, 0), numpy_generator(0))
    with pytest.raises(ConfigError, match="at least one expert"):
        TripletSampler([])


def test_index_keeps_answers_balanced_though_clips_are_not():
    """Half of the clips never return to a level, so they have no "none"; every slot stays at 1/3 each."""
    clips = [*mixed_clips(2), *(camera_clip([0, 15, 30, 45], clip_id=f"odd-{k}", scene_id=f"o{k}") for k in range(6))]
    sampler = TripletSampler(default_experts())
    index = TripletIndex(clips, sampler)
    assert index.attributes == ("camera_yaw", "effector_horizontal")
    assert len(index.entries("camera_yaw")[0, 0, 0]) < len(index.entries("camera_yaw")[1, 1, 1])
    generator, num_draws = numpy_generator(3), 4500
    drawn = Counter(index.draw("camera_yaw", generator)[1] for _ in range(num_draws))
    for triple, weight in SHARES.items():
        mean = num_draws * weight
        assert abs(drawn[triple] - mean) < 5 * mean**0.5
