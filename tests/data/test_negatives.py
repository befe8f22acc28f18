"""Negatives: every negative shows what its label says; each method finds or makes the image it documents."""

import itertools
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.utils.data import DataLoader

from remot.data.experts import (
    CameraForward,
    CameraPitch,
    CameraRoll,
    CameraSideways,
    CameraYaw,
    EffectorHorizontal,
    MaskFrame,
    ObjectHorizontal,
)
from remot.data.media.transforms import read_shown
from remot.data.media.warps import warp_image
from remot.data.negatives import Mirror, Retrieval, RotatedView, ShiftedCrop, SimilarFrame, TimeReversal, retrieval
from remot.data.negatives.synthesis import mirrored_clip, other_side
from remot.data.questions.formats import Comparative, FillIn, MultipleChoice, TrueFalse
from remot.data.questions.writer import QuestionWriter
from remot.data.tasks.motion_contrast.balancing import TripletIndex
from remot.data.tasks.motion_contrast.sampler import TripletSampler
from remot.datatools.audit.checkers import limits_of
from remot.datatools.audit.triplets.answer_check import wrong_letters
from remot.datatools.audit.triplets.label_check import wrong_labels
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES, PAIRS
from remot.seeding import numpy_generator
from remot.structures import (
    AgentTrack,
    CameraTrack,
    EffectorTrack,
    Event,
    LayoutBox,
    MaskOf,
    MotionLabel,
    ObjectTrack,
    Triplet,
    Warp,
)
from tests.data.handmade import boxes, camera_clip, clip_of, poses
from tests.data.made import question_at, triplet_of, triplet_prompts
from tests.data.worlds import (
    CENTRED,
    INTRINSICS,
    SIZE,
    all_experts,
    grey_levels,
    moving_camera,
    photograph,
    tabletop,
    with_images,
)

LIMITS = limits_of(all_experts())
CAMERA = {name for name in ATTRIBUTES if name.startswith("camera")}
NEGATIVES = {
    "retrieval": (Retrieval, set(ATTRIBUTES)),
    "time_reversal": (TimeReversal, set(ATTRIBUTES)),
    "similar_frame": (lambda: SimilarFrame(4), set(ATTRIBUTES)),
    "mirror": (Mirror, set(ATTRIBUTES) - {"mask_frame"}),
    "rotated_yaw": (lambda: RotatedView("yaw", 1.8), CAMERA),
    "rotated_pitch": (lambda: RotatedView("pitch", 1.8), CAMERA),
    "rotated_roll": (lambda: RotatedView("roll", 1.8), CAMERA),
    "shifted_yaw": (lambda: ShiftedCrop("yaw", 1.8), CAMERA),
    "shifted_pitch": (lambda: ShiftedCrop("pitch", 1.8), CAMERA),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("negatives")
    found = [moving_camera(f"camera-{k}", (INTRINSICS, CENTRED)[k]) for k in range(2)]
    found += [tabletop("table"), replace(tabletop("bare"), camera=None)]
    return [with_images(clip, folder) for clip in found]


def drawn(sampler, clips, per_pattern=3, seed=0):
    """A few triplets for every expert, subject, negative and pattern of codes that the clips allow."""
    generator = numpy_generator(seed)
    for clip in clips:
        for one in sampler.candidates(clip):
            for pattern in one.patterns:
                for _ in range(per_pattern):
                    place = one.expert_index, one.subject, pattern
                    yield sampler.sample(clip, *place, generator, one.negative_index), pattern


def faults(triplet):
    return wrong_labels(triplet, LIMITS[triplet.labels[0].attribute])


# -- every label is true ---------------------------------------------------------------------------------------------


@cache
def sampler_of(name):
    """One for all tests of a negative, with what it has judged of each clip."""
    return TripletSampler(all_experts(), negatives=[NEGATIVES[name][0]()])


@pytest.mark.parametrize("name", NEGATIVES)
def test_every_label_of_every_expert_is_true_under_every_negative(name, clips):
    """By the audit, which measures annotations and warps with formulas of its own."""
    make, attributes = NEGATIVES[name]
    seen = Counter()
    for triplet, pattern in drawn(sampler_of(name), clips, per_pattern=2):
        attribute = ATTRIBUTES[triplet.labels[0].attribute]
        assert faults(triplet) == []
        assert tuple(label.value for label in triplet.labels) == attribute.answers(pattern)
        assert triplet.negative == make().name
        seen[attribute.name] += 1
    assert set(seen) == attributes
    assert sum(seen.values()) > 130


#: In the fast tier a negative of each kind; every label of each is judged above.
KINDS = ("retrieval", "mirror", "time_reversal", "shifted_yaw", "similar_frame")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in KINDS else pytest.mark.slow) for name in NEGATIVES]
)
def test_prompts_of_a_dataset_are_true_and_labelled(name, clips):
    """Through the index and the writer, in every format, images as they come out of the loader."""
    _, attributes = NEGATIVES[name]
    writer = QuestionWriter(formats=[MultipleChoice(), TrueFalse(), FillIn(), Comparative()])
    dataset = triplet_prompts(clips, sampler_of(name), writer, "train", 100)
    assert set(dataset.index.balance.attributes) == attributes
    formats = Counter()
    for address in range(8 * len(attributes)):
        clip, plan = dataset.plan(address)
        triplet = triplet_of(clip, plan)
        question = dataset.question(address, clip, plan, SIZE)
        formats[question.format] += 1
        assert faults(triplet) == []
        assert wrong_letters(question, triplet, writer.wordings) == []
        assert question.text.isascii()
    assert set(formats) >= {"multiple_choice", "true_false", "fill_in"}
    sample = dataset[0]
    assert [picture.dtype for picture in sample.images] == [torch.uint8] * 3
    assert len({picture.shape for picture in sample.images}) == 1


@pytest.mark.parametrize("name", ["rotated_yaw", "rotated_pitch", "rotated_roll"])
def test_a_turned_view_is_labelled_with_the_turn_of_the_camera_that_sees_it(name, clips):
    """The images are those that a camera at the labelled poses would take, and the labelled turns are scipy's."""
    make, _ = NEGATIVES[name]
    view = make().view(clips[0], np.arange(24))
    own = INTRINSICS.copy()
    own[:2, 2] -= (np.array(SIZE) - np.array(view.transforms[0].size)) / 2
    rotations = view.clip.camera.camera_to_world[:, :3, :3]
    for picture in range(0, len(view.positions), 7):
        taken = photograph(clips[0].camera.camera_to_world[view.source_frames[picture], :3, :3])
        shown = warp_image(taken, view.transforms[picture])
        assert grey_levels(shown, photograph(rotations[picture], own, shown.shape[:0:-1])) < 0.25
    frames = np.arange(0, len(rotations), 3)
    matrices = rotations[frames[:-1]].transpose(0, 2, 1) @ rotations[frames[1:]]
    turns = Rotation.from_matrix(matrices).as_euler("YXZ", degrees=True)
    for expert, true in zip((CameraYaw(), CameraPitch(), CameraRoll()), turns.T, strict=True):
        for i, j, degrees in zip(frames, frames[1:], true, strict=False):
            label = expert.label(view.clip, int(i), int(j), "")
            assert label is None or label.magnitude == pytest.approx(abs(degrees), abs=1e-6)
            if label is not None and label.value != "none":
                assert expert.attribute.code_of(label.value) == np.sign(degrees)


# -- the audit finds what is wrong -----------------------------------------------------------------------------------


def only(name, clips, attribute, per_pattern=2):
    """Triplets about one attribute under one negative, at least one label of which names a motion."""
    make, _ = NEGATIVES[name]
    (expert,) = (one for one in all_experts() if one.attribute.name == attribute)
    found = [triplet for triplet, pattern in drawn(TripletSampler([expert], negatives=[make()]), clips, per_pattern)]
    return [triplet for triplet in found if any(label.value != "none" for label in triplet.labels)]


def corrupted(triplet, change):
    return replace(triplet, transforms=tuple(change(one) for one in triplet.transforms))


def apart_pixels(triplet):
    """How far the window of the negative lies from that of the anchor, at a corner of what is shown."""
    corners = [np.array(one.matrix).reshape(3, 3)[:, 2] for one in triplet.transforms]
    return np.abs(corners[2][:2] / corners[2][2] - corners[0][:2] / corners[0][2]).max()


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("rotated_yaw", "camera_yaw"),
        ("rotated_pitch", "camera_pitch"),
        ("rotated_roll", "camera_roll"),
        ("shifted_yaw", "camera_yaw"),
        ("shifted_pitch", "camera_pitch"),
    ],
)
def test_the_audit_finds_windows_turned_the_other_way(name, attribute, clips):
    """A window turned to the other side, as a wrong sign in the matrix would make it."""
    make, _ = NEGATIVES[name]
    right_side, wrong_side = make(), make()
    wrong_side.matrix = lambda degrees, window: right_side.matrix(-degrees, window)
    wrong_side.rotation = right_side.rotation
    sampler = TripletSampler([one for one in all_experts() if one.attribute.name == attribute], negatives=[wrong_side])
    checked = [(bool(faults(triplet)), triplet) for triplet, _ in drawn(sampler, clips[:2])]
    # What is left are negatives whose window is hardly turned against that of the anchor.
    turned_apart = [found for found, triplet in checked if apart_pixels(triplet) > 4]
    assert len(turned_apart) > 10
    assert all(turned_apart)


def test_the_audit_finds_a_window_that_is_somewhere_else(clips):
    """The negative's window slid by a tenth of the image, 8 degrees and more, is seen in two of three labels."""
    for triplet in only("rotated_yaw", clips, "camera_yaw"):
        *others, third = triplet.transforms
        slid = np.array(third.matrix).reshape(3, 3) @ [[1, 0, 9.6], [0, 1, 0], [0, 0, 1]]
        moved = Warp(third.kind, tuple(slid.ravel().tolist()), third.size)
        swivelled = replace(triplet, transforms=(*others, replace(moved, kind="shifted_crop")))
        assert {wrong.pair for wrong in faults(swivelled)} == {(1, 3), (2, 3)}


def test_the_audit_finds_an_inverse_matrix(clips):
    def inverse(one):
        matrix = np.linalg.inv(np.array(one.matrix).reshape(3, 3))
        return replace(one, matrix=tuple(matrix.ravel().tolist()))

    triplets = only("rotated_yaw", clips, "camera_yaw")
    assert all(faults(corrupted(triplet, inverse)) for triplet in triplets if len(set(triplet.transforms)) > 1)


@pytest.mark.parametrize("attribute", ["camera_yaw", "camera_roll", "camera_sideways", "agent_turn"])
def test_the_audit_finds_images_that_are_not_mirrored(attribute, clips):
    for triplet in only("mirror", clips, attribute):
        assert faults(corrupted(triplet, lambda _: None))


@pytest.mark.parametrize("attribute", ["effector_horizontal", "effector_composite", "object_horizontal"])
def test_the_audit_finds_a_subject_that_kept_its_name_in_the_mirror(attribute, clips):
    """Left arm and right arm move differently; a thing without a side has no other name."""
    with_side = [
        one for one in only("mirror", clips, attribute) if other_side(one.labels[0].subject) != one.labels[0].subject
    ]
    assert with_side
    for triplet in with_side:
        kept = [replace(label, subject=other_side(label.subject)) for label in triplet.labels]
        assert faults(replace(triplet, labels=tuple(kept)))


@pytest.mark.parametrize("name", NEGATIVES)
def test_the_audit_finds_every_opposite_answer(name, clips):
    _, attributes = NEGATIVES[name]
    found = Counter()
    for triplet, _ in drawn(sampler_of(name), clips, per_pattern=1):
        attribute = ATTRIBUTES[triplet.labels[0].attribute]
        place = found[attribute.name] % len(triplet.labels)  # one of the answers at a time, each in its turn
        label = triplet.labels[place]
        for value in attribute.values:
            if value != label.value:
                labels = list(triplet.labels)
                labels[place] = replace(label, value=value)
                assert [wrong.pair for wrong in faults(replace(triplet, labels=tuple(labels)))] == [label.pair]
        found[attribute.name] += 1
    assert set(found) == attributes
    assert min(found.values()) >= len(PAIRS)


def test_the_audit_finds_a_mask_of_something_else(clips):
    triplets = only("retrieval", clips, "mask_frame")
    assert len(triplets) > 10
    for triplet in triplets:
        a, b, c = triplet.frame_indices
        first, second, third = triplet.transforms
        assert (first, second, third) == (None, None, MaskOf(triplet.labels[0].subject))
        assert faults(replace(triplet, transforms=(None, None, None)))
        assert faults(replace(triplet, transforms=(None, None, MaskOf("tower"))))
        assert faults(replace(triplet, frame_indices=(b, a, c))) or c not in (a, b)
        assert faults(replace(triplet, frame_indices=(a, a, c)))
        landmark = replace(triplet.clip.objects[triplet.labels[0].subject], is_landmark=True)
        objects = {**triplet.clip.objects, triplet.labels[0].subject: landmark}
        assert faults(replace(triplet, clip=replace(triplet.clip, objects=objects)))


# -- other frames ----------------------------------------------------------------------------------------------------

YAW = [0, 20, 40, 0.2, 20.3, 40, 30]


def plain_sign(before, after):
    change = after - before
    if abs(change) <= 1:
        return 0
    return int(np.sign(change)) if 10 <= abs(change) <= 50 else None


def all_triples(yaw, allowed):
    """Every ordered triple of frames whose pairs are all clear, by its signs."""
    found = {}
    for frames in permutations(range(len(yaw)), 3):
        signs = tuple(plain_sign(yaw[frames[i - 1]], yaw[frames[j - 1]]) for i, j in PAIRS)
        if None not in signs and allowed(*frames):
            found.setdefault(signs, set()).add(frames)
    return found


def test_time_reversal_puts_the_anchor_between_and_draws_evenly():
    """Both ways round, each as often as there are triples of it, by trying everything."""
    clip, expected = camera_clip(YAW), all_triples(YAW, lambda a, b, c: b < a < c or c < a < b)
    sampler, generator = TripletSampler([CameraYaw()], negatives=[TimeReversal()]), numpy_generator(0)
    (candidate,) = sampler.candidates(clip)
    assert set(candidate.patterns) == expected.keys()
    assert any(len({b < a for a, b, _ in triples}) == 2 for triples in expected.values())
    for signs, triples in expected.items():
        counts = Counter(sampler.sample(clip, 0, "", signs, generator).frame_indices for _ in range(400))
        assert counts.keys() == triples
        mean = 400 / len(triples)
        assert max(abs(count - mean) for count in counts.values()) < 5 * mean**0.5


def test_time_reversal_keeps_its_order_under_a_gap_and_thinning():
    clip = camera_clip(np.tile([0, 20, 40, 20], 40), clip_id="long")
    sampler = TripletSampler([CameraYaw()], 20, 5, negatives=[TimeReversal()])
    for triplet, _ in drawn(sampler, [clip], per_pattern=20):
        a, b, c = triplet.frame_indices
        assert b < a < c or c < a < b
        assert min(abs(a - b), abs(a - c)) >= 5


def test_similar_frame_takes_the_most_similar_draw(clips, monkeypatch):
    """By the images at full size, of all triplets that were drawn."""
    clip, negative = clips[0], SimilarFrame(num_draws=6)
    offered = []
    choose = SimilarFrame.choose
    monkeypatch.setattr(
        SimilarFrame, "choose", lambda self, view, all_: offered.append(all_) or choose(self, view, all_)
    )
    sampler = TripletSampler([CameraYaw()], negatives=[negative])
    pictures = [photograph(pose[:3, :3]) for pose in clip.camera.camera_to_world]
    better = 0
    for triplet, _ in drawn(sampler, [clip], per_pattern=6):
        apart = [grey_levels(pictures[second], pictures[third]) for _, second, third in offered[-1]]
        assert len(offered[-1]) == 6
        assert apart[[tuple(one) for one in offered[-1]].index(triplet.frame_indices)] <= min(apart) + 0.5
        better += apart[0] > min(apart)
    assert better > 10


def test_similar_frame_decodes_each_clip_once_and_forgets_old_ones(clips, monkeypatch):
    decoded = []
    read = retrieval.read_frames
    monkeypatch.setattr(
        retrieval, "read_frames", lambda clip, frames: decoded.append(clip.clip_id) or read(clip, frames)
    )
    negative = SimilarFrame(num_draws=2, num_clips=2)
    sampler = TripletSampler([CameraYaw()], negatives=[negative])
    copies = [replace(clips[0], clip_id=f"copy-{k}") for k in range(3)]
    for clip in (*copies[:2], *copies[:2], copies[0]):
        list(drawn(sampler, [clip]))
    assert decoded == ["copy-0", "copy-1"]
    list(drawn(sampler, [copies[2]]))
    assert decoded == ["copy-0", "copy-1", "copy-2"]
    assert set(negative._copies) == {"copy-0", "copy-2"}  # the one longest unused is forgotten
    assert sum(held.nbytes for held in negative._copies.values()) == 2 * 24 * 3 * 32 * 32 * 4
    list(drawn(sampler, [copies[1]]))
    assert decoded[-1] == "copy-1"


def test_similar_frame_gives_the_same_prompts_in_several_processes(clips):
    def prompts(num_workers):
        sampler = TripletSampler([CameraYaw(), CameraPitch()], negatives=[SimilarFrame(), Retrieval()])
        dataset = triplet_prompts(clips[:2], sampler, QuestionWriter(), "train", 12)
        loader = DataLoader(dataset, batch_size=None, sampler=range(12), num_workers=num_workers)
        return [
            (one.question.text, one.clip_id, [hash(image.numpy().tobytes()) for image in one.images]) for one in loader
        ]

    assert prompts(2) == prompts(0)


@pytest.mark.parametrize("settings", [{"num_draws": 1}, {"num_clips": 0}])
def test_similar_frame_needs_a_choice(settings):
    with pytest.raises(ConfigError, match="choose at least 2 and 1"):
        SimilarFrame(**settings)


def test_negatives_of_one_clip_are_kept_apart(clips):
    sampler = TripletSampler([CameraYaw()], negatives=[Retrieval(), RotatedView(), Mirror()])
    names = Counter(triplet.negative for triplet, _ in drawn(sampler, [clips[0]]))
    assert set(names) == {"retrieval", "rotated_view", "mirror"}


@pytest.mark.parametrize("negative", [Mirror(), RotatedView(), ShiftedCrop(), SimilarFrame()])
def test_without_images_nothing_is_made(negative):
    clip = replace(moving_camera(), media=None)
    assert negative.view(clip, np.arange(24)) is None
    assert TripletSampler([CameraYaw()], negatives=[negative]).candidates(clip) == []


# -- windows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "camera",
    [
        None,
        CameraTrack(poses([0.0] * 24)),
        CameraTrack(poses([0.0] * 24), np.zeros((3, 3))),
        CameraTrack(poses([0.0] * 24), np.full((3, 3), np.nan)),
        CameraTrack(poses([0.0] * 24), np.diag([-70.0, 70, 1])),
    ],
    ids=["no camera", "none", "zero", "NaN", "negative"],
)
def test_no_window_without_usable_intrinsics(camera, clips):
    clip = replace(clips[0], camera=camera)
    assert RotatedView().view(clip, np.arange(24)) is None
    assert ShiftedCrop().view(clip, np.arange(24)) is None


@pytest.mark.parametrize(
    "make", [made[0] for name, made in NEGATIVES.items() if name.startswith(("rotated", "shifted"))]
)
def test_windows_see_nothing_but_the_image(make, clips):
    """Each corner of each window lies inside the decoded image, and the widest window touches its border."""
    nearer_the_other_side = np.array([[70.0, 0, 45], [0, 72, 35], [0, 0, 1]])
    for intrinsics in (INTRINSICS, CENTRED, nearer_the_other_side):
        clip = replace(clips[0], camera=replace(clips[0].camera, intrinsics=intrinsics))
        view = make().view(clip, np.arange(24))
        corners = []
        for transform in view.transforms:
            width, height = transform.size
            shown = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]).T
            x, y, w = np.array(transform.matrix).reshape(3, 3) @ shown
            corners.append(np.stack([x / w, y / w], axis=1))
        corners = np.concatenate(corners)
        assert (corners >= -1e-6).all()
        assert (corners <= np.array(SIZE) + 1e-6).all()
        slack = min(corners.min(0).min(), (np.array(SIZE) - corners.max(0)).min())
        assert slack < 3 or make().axis == "roll"


def test_one_of_the_three_images_has_a_window_of_its_own(clips):
    """The others share one, which it may have too; any of the three places may be the turned one's."""
    view = RotatedView(views_per_frame=3).view(clips[0], np.arange(24))
    assert len(view.positions) == 24 * 4
    assert len({view.transforms[k] for k in range(24)}) == 1
    assert all(view.transforms[24 + 3 * k] == view.transforms[0] for k in range(24))
    np.testing.assert_array_equal(view.source_frames, [*range(24), *np.repeat(range(24), 3)])
    behind = {place: 24 + place for place in range(3)}  # one image of each kind is enough to see who may stand where
    allowed = set()
    for kinds in itertools.product((False, True), repeat=3):
        a, b, c = (behind[place] if turned else place for place, turned in enumerate(kinds))
        if any(case.one_two[a, b] and case.one_three[a, c] and case.two_three[b, c] for case in view.cases):
            allowed.add(kinds)
    assert allowed == {(False, False, True), (False, True, False), (True, False, False)}


def test_a_window_of_the_same_moment_is_another_image_but_not_a_repeated_one(clips):
    """A moment may be seen twice through different windows, never the very same image."""
    sampler = TripletSampler([CameraYaw(still=30, salient_min=31)], negatives=[RotatedView()])
    same_moment = 0
    for triplet, _ in drawn(sampler, clips[:1], per_pattern=40):
        shown = list(zip(triplet.frame_indices, triplet.transforms, strict=True))
        assert len(set(shown)) == 3
        same_moment += len(set(triplet.frame_indices)) < 3
    assert same_moment > 0


def test_a_resting_camera_is_asked_about_with_turned_windows(clips):
    """Retrieval has nothing to ask; the one turned image is right or left of both others, by the window alone."""
    clip = with_resting_camera(clips[0])
    assert TripletSampler([CameraYaw()]).candidates(clip) == []
    (candidate,) = TripletSampler([CameraYaw(salient_min=5)], negatives=[RotatedView(zoom=3)]).candidates(clip)
    apart = {(0, side, side) for side in (-1, 1)} | {(side, 0, -side) for side in (-1, 1)}
    apart |= {(side, side, 0) for side in (-1, 1)}
    assert {(0, 0, 0)} < set(candidate.patterns) <= {(0, 0, 0)} | apart
    assert len(candidate.patterns) == 4  # the common window lies to one side, so that the turned one is on the other


def with_resting_camera(clip):
    return replace(clip, clip_id="resting", camera=CameraTrack(poses([0.0] * 24), INTRINSICS))


def test_long_clips_are_thinned_and_views_are_the_same_every_time(clips):
    one, other = (RotatedView(max_frames=5).view(clips[0], np.arange(24)) for _ in range(2))
    assert len(set(one.source_frames)) == 5
    assert (np.diff(one.source_frames[:5]) > 0).all()
    assert one.transforms == other.transforms
    np.testing.assert_array_equal(one.source_frames, other.source_frames)
    assert ShiftedCrop(max_frames=5).view(clips[0], np.arange(24)).transforms != one.transforms


@pytest.mark.parametrize("settings", [{"zoom": 1.0}, {"zoom": 9}, {"views_per_frame": 0}, {"max_frames": 1}])
def test_window_settings_are_checked(settings):
    with pytest.raises(ConfigError, match="RotatedView: zoom"):
        RotatedView(**settings)


def test_only_the_camera_is_asked_about_behind_a_window(clips):
    """An object's box and a mask would be somewhere else in the window."""
    table = clips[2]
    for negative in (RotatedView(), ShiftedCrop()):
        sampler = TripletSampler([ObjectHorizontal(), MaskFrame(), EffectorHorizontal()], negatives=[negative])
        assert sampler.candidates(table) == []


# -- mirror ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [
        ("left arm", "right arm"),
        ("right_arm", "left_arm"),
        ("arm-left2", "arm-right2"),
        ("LEFT hand, Right hand", "RIGHT hand, Left hand"),
        ("leftmost person", "rightmost person"),
        ("bright upright leftover", "bright upright leftover"),
        ("left", "right"),
        ("", ""),
    ],
)
def test_names_in_the_mirror(name, mirrored):
    assert other_side(name) == mirrored
    assert other_side(mirrored) == name


def full_clip():
    return clip_of(
        2,
        camera=CameraTrack(poses([0, 20], [0, 10], [5, 15], [(1, 2, 3), (2, 2, 3)]), INTRINSICS),
        effectors={"left arm": EffectorTrack(np.array([(0.1, 0.2, 0.3), (0.5, 0.1, 0.4)]), np.array([0.0, 1.0]))},
        objects={"right_cup": ObjectTrack(np.array([(10.0, 20, 30, 50), (0, 0, 96, 64)]), False, np.array([1.0, 2.0]))},
        agent=AgentTrack(np.array([(1.0, 2.0), (3.0, 4.0)]), np.array([30.0, 100.0])),
        events=(Event("the left hand takes the cup", 0, 1),),
        layout=(LayoutBox("chair", np.array([1.0, 2, 3]), np.ones(3), np.eye(3)),),
    )


def test_annotations_in_the_mirror_by_hand():
    clip = mirrored_clip(full_clip(), 96)
    assert list(clip.effectors) == ["right arm"]
    np.testing.assert_allclose(clip.effectors["right arm"].positions, [(-0.1, 0.2, 0.3), (-0.5, 0.1, 0.4)])
    np.testing.assert_allclose(clip.effectors["right arm"].opening, [0, 1])
    np.testing.assert_allclose(clip.objects["left_cup"].boxes_xyxy, [(66, 20, 86, 50), (0, 0, 96, 64)])
    np.testing.assert_allclose(clip.objects["left_cup"].depths_metres, [1, 2])
    np.testing.assert_allclose(clip.agent.positions_metres, [(-1, 2), (-3, 4)])
    np.testing.assert_allclose(np.cos(np.radians(clip.agent.headings_degrees)), -np.cos(np.radians([30, 100])))
    np.testing.assert_allclose(np.sin(np.radians(clip.agent.headings_degrees)), np.sin(np.radians([30, 100])))
    np.testing.assert_allclose(
        clip.camera.camera_to_world, poses([0, -20], [0, 10], [-5, -15], [(-1, 2, 3), (-2, 2, 3)]), atol=1e-12
    )
    np.testing.assert_allclose(clip.camera.intrinsics, [[70, 0, 46], [0, 72, 30], [0, 0, 1]])
    assert clip.events[0].text == "the right hand takes the cup"
    np.testing.assert_allclose(clip.layout[0].centre_metres, [-1, 2, 3])


def test_two_mirrors_give_the_original_back():
    clip = full_clip()
    twice = mirrored_clip(mirrored_clip(clip, 96), 96)
    assert list(twice.effectors) == list(clip.effectors)
    assert list(twice.objects) == list(clip.objects)
    assert twice.events == clip.events
    for one, other in (
        (twice.camera.camera_to_world, clip.camera.camera_to_world),
        (twice.camera.intrinsics, clip.camera.intrinsics),
        (twice.effectors["left arm"].positions, clip.effectors["left arm"].positions),
        (twice.objects["right_cup"].boxes_xyxy, clip.objects["right_cup"].boxes_xyxy),
        (twice.agent.positions_metres, clip.agent.positions_metres),
        (twice.agent.headings_degrees, clip.agent.headings_degrees),
        (twice.layout[0].axes, clip.layout[0].axes),
    ):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_answers_in_the_mirror(clips):
    """Sideways answers are the opposite ones, the others stay; each triple of frames is asked in both ways."""
    swapped = {
        "left": "right",
        "right": "left",
        "clockwise": "counterclockwise",
        "counterclockwise": "clockwise",
        "upper_left": "upper_right",
        "upper_right": "upper_left",
        "lower_left": "lower_right",
        "lower_right": "lower_left",
    }
    plain = TripletSampler(all_experts())
    for triplet, _ in drawn(TripletSampler(all_experts(), negatives=[Mirror()]), clips, per_pattern=1):
        (expert,) = (e for e in plain.experts if e.attribute.name == triplet.labels[0].attribute)
        seen = expert.labels(triplet.clip, triplet.frame_indices, other_side(triplet.labels[0].subject))
        assert [label.value for label in triplet.labels] == [swapped.get(one.value, one.value) for one in seen]


def test_images_are_mirrored(clips):
    sampler = TripletSampler([CameraYaw()], negatives=[Mirror()])
    triplet, _ = next(drawn(sampler, clips))
    shown, decoded_size = read_shown(triplet.clip, triplet.frame_indices, triplet.transforms)
    assert decoded_size == SIZE
    for picture, frame in zip(shown, triplet.frame_indices, strict=True):
        assert torch.equal(picture, photograph(triplet.clip.camera.camera_to_world[frame, :3, :3]).flip(2))


# -- masks -------------------------------------------------------------------------------------------------------------


def ball_clip(xs):
    return clip_of(len(xs), "ball", objects={"red ball": ObjectTrack(boxes([(x, 20) for x in xs], 5))})


def test_a_frame_is_shown_twice_only_as_the_mask():
    """Places 10 and 12 overlap by 2/3 and are not told apart; 10, 30 and 50 are."""
    sampler, generator = TripletSampler([MaskFrame(min_size_pixels=0)]), numpy_generator(0)
    clip = ball_clip([10, 30, 50, 12])
    (candidate,) = sampler.candidates(clip)
    assert set(candidate.patterns) == set(ATTRIBUTES["mask_frame"].patterns)
    expected = {"first": lambda a, b, c: c == a != b, "second": lambda a, b, c: c == b != a}
    expected["neither"] = lambda a, b, c: len({a, b, c}) == 3
    for pattern in candidate.patterns:
        for _ in range(60):
            triplet = sampler.sample(clip, 0, "red ball", pattern, generator)
            (label,), frames = triplet.labels, triplet.frame_indices
            assert expected[label.value](*frames)
            assert not {0, 3} <= set(frames)
            assert label.pair == (1, 2)
            assert triplet.transforms == (None, None, MaskOf("red ball"))


def test_the_gap_holds_between_the_images_that_differ():
    sampler, generator = TripletSampler([MaskFrame(min_size_pixels=0)], min_gap_frames=3), numpy_generator(0)
    clip = ball_clip([10, 30, 50, 70, 90, 110, 130, 150])
    for pattern in ATTRIBUTES["mask_frame"].patterns:
        for _ in range(100):
            frames = set(sampler.sample(clip, 0, "red ball", pattern, generator).frame_indices)
            assert min(abs(a - b) for a, b in permutations(frames, 2)) >= 3


def test_masks_are_asked_about_evenly():
    """First, second and neither a third each; 900 draws, five standard deviations."""
    index = TripletIndex([ball_clip([10, 30, 50, 70])], TripletSampler([MaskFrame(min_size_pixels=0)]))
    generator = numpy_generator(0)
    counts = Counter(index.draw("mask_frame", generator)[1] for _ in range(900))
    assert all(abs(counts[pattern] - 300) < 5 * 300**0.5 for pattern in ATTRIBUTES["mask_frame"].patterns)
    assert index.values("mask_frame", "red ball") == ("first", "second", "neither")


def test_an_answer_that_never_occurs_in_a_place_is_no_option_there():
    """With time reversed the images 2 and 3 lie on both sides of the anchor in time. The ball only ever goes to the
    right, in steps of 1 and of about 30 pixels, so that between them it always moves by a step of 30."""
    xs = [10, 11, 40, 41, 70, 71]
    clip = clip_of(len(xs), "ball", objects={"red ball": ObjectTrack(boxes([(x, 20) for x in xs]))})
    sampler = TripletSampler([ObjectHorizontal()], negatives=[TimeReversal()])
    index = TripletIndex([clip], sampler)
    third = {pattern[2] for pattern in index.entries("object_horizontal")}
    assert third == {-1, 1}
    both, clear = ("right", "left", "none"), ("right", "left")
    assert index.slot_values("object_horizontal", "red ball") == (both, both, clear)
    dataset = triplet_prompts([clip], sampler, QuestionWriter(formats=[MultipleChoice("prompt")]), "train", 40)
    for address in range(40):
        slots = question_at(dataset, address, (9, 9)).slots
        assert [sorted(slot.options) for slot in slots] == [sorted(both), sorted(both), sorted(clear)]


def test_with_time_reversed_a_mask_is_neither():
    """The third image lies on the other side of the anchor, so it is a moment of its own: there is one answer."""
    index = TripletIndex(
        [ball_clip([10, 30, 50])], TripletSampler([MaskFrame(min_size_pixels=0)], negatives=[TimeReversal()])
    )
    assert index.values("mask_frame", "red ball") == ("neither",)


def test_a_camera_without_the_metre_is_not_asked_how_far_it_went(clips):
    clip = replace(clips[0], clip_id="sfm", camera=replace(clips[0].camera, is_metric=False))
    for negative in (Retrieval(), Mirror(), RotatedView(), ShiftedCrop()):
        assert TripletSampler([CameraForward(), CameraSideways()], negatives=[negative]).candidates(clip) == []
    said = MotionLabel((1, 2), "camera_forward", "forward", 0.3, "metres")
    assert wrong_labels(Triplet(clip, (18, 23, 18), (said,)), LIMITS["camera_forward"])
