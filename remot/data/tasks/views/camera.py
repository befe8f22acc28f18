"""Which way did the camera go from one view to another?"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from remot.data.experts.camera import relative_rotations, rotation_degrees
from remot.data.tasks.base import Survey, TaskIndex, UniformIndex
from remot.data.tasks.shared.candidates import Refusal
from remot.data.tasks.tracks.moving import way_in_words
from remot.data.tasks.tracks.scene import TrackScene
from remot.data.tasks.views.base import ViewCandidate, ViewTask, view_pairs
from remot.errors import ConfigError
from remot.structures import Clip

#: Frames of a clip between which ways are looked for.
MAX_SURVEYED = 48
#: Ways of the camera: to its right and along its view.
WAYS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "forward": (0.0, 1.0), "backward": (0.0, -1.0)}


class CameraMovement(ViewTask):
    """Did the camera go left, right, forward or backward from the first view to the second, in the first one's axes?

    OpenSpatial's camera movement, with its least way; it shows the first and the last view of a scene, however far the
    camera has turned, and asks about ways on the border of two answers. Only ways that some clip of the split has are
    offered: an option that is never right gives the others away.

    Args:
        min_metres: Smallest way that is asked about; published.
        margin_degrees: How far the way must be from the diagonals, at which the answer changes, and from a way up or
            down that is as long.
        max_turn_degrees: Largest rotation between the views.
        shared: Settings of all questions about views, see :class:`ViewTask`.
    """

    name = "camera_movement"
    needs: ClassVar[str] = "a camera path in metres on which the camera moves"
    num_views = 2
    answers = tuple(WAYS)

    def __init__(
        self, min_metres: float = 0.2, margin_degrees: float = 15.0, max_turn_degrees: float = 60.0, **shared: Any
    ) -> None:
        super().__init__(**shared)
        if min_metres <= 0 or not 0 <= margin_degrees < 45 or not 0 < max_turn_degrees <= 180:
            msg = (
                f"{self.name}: min_metres {min_metres}, margin_degrees {margin_degrees}, max_turn_degrees "
                f"{max_turn_degrees}; choose metres above 0, a margin below 45, a turn up to 180"
            )
            raise ConfigError(msg)
        self.min_metres = min_metres
        self.margin_degrees = margin_degrees
        self.max_turn_degrees = max_turn_degrees

    def serves(self, clip: Clip) -> bool:
        """Whether the camera's places are known in metres and as far apart somewhere."""
        if clip.camera is None or not clip.camera.is_metric:
            return False
        places = clip.camera.camera_to_world[:, :3, 3]
        return bool(np.linalg.norm(np.ptp(places, axis=0)) >= self.min_metres)

    def survey(self, clip: Clip) -> Survey | None:
        """The answers that a clip has between some of its frames; None if there are none."""
        if clip.media is None or not self.serves(clip):
            return None
        frames = np.linspace(0, clip.num_frames - 1, min(MAX_SURVEYED, clip.num_frames)).round().astype(int)
        scene = replace(self.scene(clip), frames=tuple(int(frame) for frame in frames))
        found = self.candidates(scene, np.random.default_rng(0))
        ways = {one.right for one in found if isinstance(one, ViewCandidate)}
        return tuple((way,) for way in WAYS if way in ways) or None

    def index(self, clips: Sequence[Clip], surveys: Sequence[Survey | None], split: str) -> TaskIndex:
        """As for any task, with the answers that surveys found in the clips of the split; all if they found none."""
        task, ways = copy.copy(self), {way for survey in surveys for (way,) in survey or ()}
        task.answers = tuple(way for way in WAYS if way in ways) or self.answers
        return UniformIndex(task, clips, surveys, split)

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[ViewCandidate | Refusal]:  # noqa: ARG002
        """One for each two drawn frames."""
        camera = scene.clip.camera
        assert camera is not None
        frames = np.array(scene.frames)
        poses = camera.camera_to_world[frames]
        turns = rotation_degrees(relative_rotations(camera, frames))
        for pair in view_pairs(scene):
            first, second = pair
            right, down, ahead = (poses[second, :3, 3] - poses[first, :3, 3]) @ poses[first, :3, :3]
            said = way_in_words(float(right), float(ahead), self.margin_degrees, WAYS)
            level = math.hypot(right, ahead)
            if turns[pair] > self.max_turn_degrees:
                yield Refusal("turns too far")
            elif max(abs(right), abs(ahead)) < self.min_metres:
                yield Refusal("hardly moves")
            elif said is None or abs(down) > level * math.tan(math.radians(45 - self.margin_degrees)):
                yield Refusal("between two directions")
            elif said not in self.answers or len(self.answers) < 2:
                yield Refusal("no clip of the split has a second answer")
            else:
                yield ViewCandidate({}, said, self.other_answers(said), said, shown=pair)
