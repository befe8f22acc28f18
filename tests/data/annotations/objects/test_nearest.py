"""Whose images a question can point at with "the nearest person"."""

from dataclasses import replace

import numpy as np
import pytest

from remot.data.annotations.objects.nearest import Appearances, near_border, nearest_tracks, sideways_nearness
from remot.errors import AnnotationError


def sightings(rows):
    """From rows of frame, track, nearness, lowest, askable."""
    frames, tracks, nearness, lowest, askable = zip(*rows, strict=True)
    return Appearances(
        "gt.txt",
        np.array(frames),
        np.array(tracks),
        np.array(nearness, dtype=float),
        np.array(lowest, dtype=float),
        np.array(askable, dtype=bool),
    )


def found(rows, min_ratio=1.5, num_lingering=0, min_frames=1):
    rows = sightings(rows)
    return {
        (one.track, one.name("person")): rows.frames[one.rows].tolist()
        for one in nearest_tracks(rows, min_ratio, num_lingering, min_frames)
    }


def test_only_images_in_which_it_is_clearly_the_nearest():
    rows = [(0, 7, 30, 0, 1), (0, 8, 20, 0, 1), (1, 7, 29, 0, 1), (1, 8, 20, 0, 1), (2, 7, 10, 0, 1), (2, 8, 15, 0, 1)]
    assert found(rows) == {(7, "nearest person"): [0], (8, "nearest person"): [2]}


def test_alone_it_needs_no_superlative():
    assert found([(0, 7, 30, 0, 1), (1, 7, 30, 0, 1)]) == {(7, "person"): [0, 1]}


def test_one_image_with_another_is_enough_for_the_superlative():
    assert found([(0, 7, 30, 0, 1), (1, 7, 30, 0, 1), (1, 8, 2, 0, 1)]) == {(7, "nearest person"): [0, 1]}


def test_it_must_stand_lowest_too():
    assert found([(0, 7, 30, 90, 1), (0, 8, 20, 91, 1)]) == {}
    assert found([(0, 7, 30, 90, 1), (0, 8, 20, 90, 1)]) == {(7, "nearest person"): [0]}


def test_badly_seen_ones_are_not_asked_about_but_stand_in_the_way():
    assert found([(0, 7, 30, 0, 0), (0, 8, 20, 0, 1)]) == {}


def test_persons_count_for_a_while_after_their_last_box():
    """Track 7 is large and has boxes in image 3 only; track 8 is the nearest in the images 0 and 6 alone."""
    rows = [(3, 7, 30, 0, 1), *((k, 8, 10, 0, 1) for k in range(7))]
    assert found(rows, num_lingering=2)[8, "person"] == [0, 6]
    assert found(rows, num_lingering=0)[8, "person"] == [0, 1, 2, 4, 5, 6]
    assert found(rows, num_lingering=2)[7, "nearest person"] == [3]  # no image without a box of its own


def test_small_ones_that_are_dropped_do_no_harm():
    rows = [(3, 7, 1, 0, 1), *((k, 8, 10, 0, 1) for k in range(7))]
    assert found(rows, num_lingering=2) == {(8, "nearest person"): [0, 1, 2, 3, 4, 5, 6]}


def test_each_sighting_lingers_for_its_own_time():
    """Track 7 stands in the way for three images before its first box and for one after its last."""
    rows = [(3, 7, 30, 0, 1), (4, 7, 30, 0, 1), *((k, 8, 10, 0, 1) for k in range(7))]
    assert found(rows, num_lingering=np.array([3, 1, *[0] * 7]))[8, "person"] == [6]


def test_a_box_within_its_own_width_of_a_side_is_at_the_border():
    """Boxes 20 wide and 40 high in an image of 200 by 100: 21, 19 and 20 pixels from the left, 19 from the right; 9
    and 11 pixels above the lower border."""
    boxes = [(21, 0, 41, 40), (19, 0, 39, 40), (20, 0, 40, 40), (161, 0, 181, 40), (90, 51, 110, 91), (90, 49, 110, 89)]
    bordering = near_border(np.array(boxes, dtype=float), np.array([200.0, 100.0]))
    assert bordering.tolist() == [False, True, False, True, True, False]


def test_who_is_clearly_outermost():
    """Boxes 20 wide: with middles at 10, 31 and 100 both outer ones are clear, at 10 and 29 neither is."""
    for middles, clear in (((10, 31, 100), [True, True]), ((10, 29), [False, False])):
        boxes = np.array([(x - 10, 0, x + 10, 40) for x in middles], dtype=float)
        for word, side, outer, is_clear in zip(
            ("leftmost", "rightmost"), (-1, 1), (0, len(middles) - 1), clear, strict=True
        ):
            rows = sightings([(0, track, 1, 0, 1) for track in range(len(middles))])
            placed = replace(rows, nearness=sideways_nearness(boxes, side))
            names = [(one.track, one.name("person")) for one in nearest_tracks(placed, 2.0, 0, 1, word)]
            assert names == ([(outer, f"{word} person")] if is_clear else [])


def test_few_images_make_no_clip():
    assert found([(0, 7, 30, 0, 1), (1, 7, 30, 0, 1)], min_frames=3) == {}


def test_no_sighting_at_all():
    empty = np.zeros(0)
    none = Appearances("gt.txt", empty.astype(int), empty.astype(int), empty, empty, empty.astype(bool))
    assert nearest_tracks(none, 1.5, 3) == []


def test_two_boxes_of_one_track_are_refused():
    with pytest.raises(AnnotationError, match=r"gt\.txt: track 7 has two boxes in frame 1") as caught:
        sightings([(0, 7, 1, 0, 1), (1, 7, 1, 0, 1), (1, 7, 2, 0, 1)])
    assert caught.value.reason == "duplicate id"
