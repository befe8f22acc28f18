"""Which point of one view shows what a point of another view shows?"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from remot.data.tasks.geometry.boxes import surface_points
from remot.data.tasks.geometry.views import hidden, image_points
from remot.data.tasks.shared.candidates import Refusal
from remot.data.tasks.shared.marks import COLOURS, PointMark
from remot.data.tasks.shared.places import image_size, visible
from remot.data.tasks.tracks.scene import TrackScene
from remot.data.tasks.views.base import ViewCandidate, ViewTask, view_pairs
from remot.data.tasks.views.depth import depths_of
from remot.errors import ConfigError
from remot.structures import Clip, Point

#: Landmarks of a pair of views that are tried as the point of the first view.
MAX_POINTS = 4
#: Smallest cosine between a line of sight and the normal of the face that it meets.
MIN_FACING = 0.3
#: Shorter edge of a face, as seen from straight ahead.
MIN_FACE_PIXELS = 8.0
#: A landmark's name, which is the same in all views, and its place in pixels.
Landmarks = Mapping[str, Point]


class PointCorrespondence(ViewTask):
    """Which of several points of a second view lies on the same place as a point of the first? Points are drawn.

    OpenSpatial's point correspondence finds points by depth maps, which clips do not hold. Here they are, for
    ``things``, the middles of the boxes of tracked things in each view, where no other box lies before them: the right
    point is on the same thing. For ``surfaces`` they are points on the faces of the layout's boxes, which must be the
    things themselves, as in rendered rooms, and not scans' boxes around them; there a wrong point may lie on the same
    thing.

    Args:
        points: ``things`` or ``surfaces``.
        num_options: Points of the second view; fewer, down to two, where it shows no more.
        min_distance: How far points of one view must be from each other, as a share of the image's diagonal.
        min_border: How far they must be from the border of the image, as a share of its shorter side.
        shared: Settings of all questions about views, see :class:`ViewTask`.
    """

    name = "point_correspondence"
    needs: ClassVar[str] = "two tracked objects, or a layout and a camera with intrinsics, in two frames"
    num_views = 2

    def __init__(
        self,
        points: Literal["things", "surfaces"] = "things",
        num_options: int = 4,
        min_distance: float = 0.06,
        min_border: float = 0.04,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if points not in {"things", "surfaces"} or not 2 <= num_options <= len(COLOURS) - 1:
            msg = (
                f"{self.name}: points is {points!r}, num_options {num_options}; choose things or surfaces, and 2 to "
                f"{len(COLOURS) - 1} options"
            )
            raise ConfigError(msg)
        if not 0 < min_distance < 0.5 or not 0 <= min_border < 0.5:
            msg = f"{self.name}: min_distance is {min_distance} and min_border {min_border}; choose shares below 0.5"
            raise ConfigError(msg)
        self.points = points
        self.num_options = num_options
        self.min_distance = min_distance
        self.min_border = min_border

    def serves(self, clip: Clip) -> bool:
        """Whether two views can show the same points."""
        if clip.num_frames < 2 or clip.media is None:
            return False
        if self.points == "things":
            return sum(int(visible(clip, name).sum()) > 1 for name in clip.objects) >= 2
        return len(clip.layout) > 0 and clip.camera is not None and clip.camera.intrinsics is not None

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[ViewCandidate | Refusal]:
        """For each two drawn frames a few landmarks of both."""
        find = self._things if self.points == "things" else self._surfaces
        found = [self._inside(scene, find(scene, shown)) for shown in range(len(scene.frames))]
        for first, second in view_pairs(scene):
            shared = sorted(found[first].keys() & found[second].keys())
            for name in [shared[k] for k in generator.permutation(len(shared))[:MAX_POINTS]]:
                yield self._candidate(scene, (first, second), (found[first], found[second]), name, generator)

    def _candidate(
        self,
        scene: TrackScene,
        shown: tuple[int, int],
        landmarks: tuple[Landmarks, Landmarks],
        name: str,
        generator: np.random.Generator,
    ) -> ViewCandidate | Refusal:
        """A landmark with drawn others of the second view, each far enough from those before."""
        names = sorted(landmarks[1].keys() - {name})
        chosen = [name]
        for other in [names[k] for k in generator.permutation(len(names))]:
            places = [landmarks[1][one] for one in chosen]
            if len(chosen) < self.num_options and self._are_apart(scene, landmarks[1][other], places):
                chosen.append(other)
        if len(chosen) < 2:
            return Refusal("no other point in the second view")
        colours = [list(COLOURS)[k] for k in generator.permutation(len(COLOURS))[: len(chosen) + 1]]
        asked, right, *wrong = colours
        options = tuple(PointMark(colour, landmarks[1][one]) for colour, one in zip(colours[1:], chosen, strict=True))
        marks = ((PointMark(asked, landmarks[0][name]),), options)
        words = {"colour": asked, "what": "thing" if self.points == "things" else "place"}
        return ViewCandidate(words, right, tuple(wrong), shown=shown, marks=marks)

    def _are_apart(self, scene: TrackScene, place: Point, others: list[Point]) -> bool:
        diagonal = float(np.hypot(*image_size(scene.clip)))
        return all(np.hypot(place[0] - x, place[1] - y) >= self.min_distance * diagonal for x, y in others)

    def _inside(self, scene: TrackScene, landmarks: Landmarks) -> Landmarks:
        """Those far enough from the border of the image."""
        size = np.array(image_size(scene.clip), dtype=float)
        border = self.min_border * size.min()
        return {
            name: place
            for name, place in landmarks.items()
            if ((np.array(place) >= border) & (np.array(place) <= size - border)).all()
        }

    def _things(self, scene: TrackScene, shown: int) -> Landmarks:
        """Middles of the boxes of clearly seen things, unless another thing's box may lie before them."""
        frame, depths, found = scene.frames[shown], depths_of(scene, shown), {}
        boxes = {name: track.boxes_xyxy[frame] for name, track in scene.clip.objects.items()}
        for name in (one for one in boxes if scene.clear(one)[shown]):
            place = (boxes[name][:2] + boxes[name][2:]) / 2
            over = [
                one
                for one, box in boxes.items()
                if one != name and (box[:2] <= place).all() and (place <= box[2:]).all()
            ]
            if all(depths.get(name, np.inf) < depths.get(one, -np.inf) for one in over):
                found[name] = (float(place[0]), float(place[1]))
        return found

    def _surfaces(self, scene: TrackScene, shown: int) -> Landmarks:
        """Points inside the faces of all boxes that no box hides, of boxes that are large enough in the image.

        Faces that are seen too flatly, or are too narrow for a mark, are left out: a pixel covers too much of them.
        """
        clip = scene.clip
        assert clip.camera is not None
        assert clip.camera.intrinsics is not None
        pose, found = clip.camera.camera_to_world[scene.frames[shown]], {}
        focal = min(clip.camera.intrinsics[0, 0], clip.camera.intrinsics[1, 1])
        for number, box in enumerate(clip.layout):
            points = surface_points(box, num_per_side=5)
            pixels = image_points(points, pose, clip.camera.intrinsics)
            on_side = np.abs((points - box.centre_metres) @ box.axes.T) > 0.499 * box.size_metres  # [R, 3]
            sight = points - pose[:3, 3]
            facing = np.abs(sight @ box.axes.T) / np.linalg.norm(
                sight, axis=1, keepdims=True
            )  # cosines with the normals
            is_face = (on_side.sum(axis=1) == 1) & ((facing * on_side).max(axis=1) >= MIN_FACING)
            shorter_edges = np.where(on_side, np.inf, box.size_metres).min(axis=1)  # [R] of the face of each point
            is_face &= shorter_edges * focal >= MIN_FACE_PIXELS * np.linalg.norm(sight, axis=1)
            spread = np.ptp(pixels[:, :2], axis=0)  # NaN where a part of it lies behind the camera
            if not spread.min() >= self.min_pixels:
                continue
            is_seen = is_face & ~hidden(points, pose[:3, 3], clip.layout)
            for k in np.flatnonzero(is_seen):
                found[f"{number}-{k}"] = (float(pixels[k, 0]), float(pixels[k, 1]))
        return found
