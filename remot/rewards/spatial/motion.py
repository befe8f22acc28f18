"""Rewards of the described motion of objects (Motion-o, arXiv 2603.18856)."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from remot.rewards.base import ReferenceReward
from remot.rewards.functional.boxes import change_score, direction_of, motion_score, scale_of, speed_of
from remot.rewards.parsing.motion import MotionTag, ObjectObservation, motion_tags, object_name, sightings
from remot.rewards.parsing.tags import first_element
from remot.structures import BoxTrack, Reference


@dataclass(eq=False)
class MotionTrajectoryReward(ReferenceReward):
    """Mean over objects of 0.4 · direction + 0.3 · speed + 0.3 · scale of their ``<motion …/>`` tags.

    R_traj of Motion-o (arXiv 2603.18856) as in version 3 of its code, where a neighbour counts half in all three. An
    object counts if the reasoning sees it at two or more annotated times: ``<obj>…</obj><box>…</box>at<t>…</t>s``
    within 2 seconds of a time of its track and under the same name. The right motion is that between the first and the
    last of these times. 0 for an object without a tag; ``fallback`` if two sightings match but no object has two times.

    Differences: a sighting is matched to the nearest time of its own object's track, there to the nearest of all
    frames; tags in the older free form are not read, nor given the quarter for speed and scale they get there.

    Args:
        max_gap_seconds: How far a sighting may be from an annotated time.
        fallback: What matching sightings alone are worth.
        success_at: Total from which a completion succeeds.
        name: Metric key.
    """

    max_gap_seconds: float = 2.0
    fallback: float = 0.1
    success_at: float = 0.5
    name: str = "motion_trajectory"

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without tracks."""
        if not reference.tracks:
            return None
        reasoning = first_element(completion, "think") or ""
        tracks = {object_name(track.name): track for track in reference.tracks}
        matched = self._matched(sightings(reasoning), tracks)
        if sum(map(len, matched.values())) < 2:
            return 0.0
        tags = motion_tags(reasoning)
        scores = []
        for name, frames in matched.items():
            if len(set(frames)) < 2:
                continue
            track, first, last = tracks[name], frames[0], frames[-1]
            boxes, seconds = (track.boxes[first], track.boxes[last]), track.pts_seconds[last] - track.pts_seconds[first]
            gold = MotionTag(direction_of(*boxes), speed_of(*boxes, seconds), scale_of(*boxes))
            scores.append(motion_score(tags[name], gold) if name in tags else 0.0)
        return sum(scores) / len(scores) if scores else self.fallback

    def _matched(self, seen: Iterable[ObjectObservation], tracks: dict[str, BoxTrack]) -> dict[str, list[int]]:
        """For each object the annotated times that sightings match, in the order of the sightings' times."""
        frames: dict[str, list[int]] = defaultdict(list)
        for sighting in sorted(seen, key=lambda one: one.seconds):
            track = tracks.get(sighting.name)
            if track is None:
                continue
            gaps = [abs(seconds - sighting.seconds) for seconds in track.pts_seconds]
            nearest = min(range(len(gaps)), key=gaps.__getitem__)
            if gaps[nearest] < self.max_gap_seconds:
                frames[sighting.name].append(nearest)
        return frames


@dataclass(eq=False)
class MotionPerturbationReward(ReferenceReward):
    """Mean over described objects of 0.5·[direction changed] + 0.3·[speed changed] + 0.2·[scale changed].

    Compared with the answer to the same prompt with the video frozen at one frame, the first counterfactual of the
    reference; an object that is not described there counts 1. Motion-o (arXiv 2603.18856). As released this reward is
    0 for every completion, because the trainer hands the frozen answer over after the rewards were called. Here it is
    part of the reference, so it has to be there before the call, and without it the reward is not applicable instead
    of 0.

    Args:
        name: Metric key.
    """

    success_at = None

    name: str = "motion_perturbation"

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1], 0 if the completion describes no motion; not applicable without a counterfactual."""
        if not reference.counterfactuals:
            return None
        described, frozen = (
            motion_tags(first_element(text, "think") or "") for text in (completion, reference.counterfactuals[0])
        )
        return change_score(described, frozen)
