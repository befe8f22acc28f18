"""Which comes into view first, when, where and how large is a thing in view, and how many come into view?"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from remot.data.questions.text import called
from remot.data.tasks.shared.candidates import Refusal
from remot.data.tasks.shared.orders import MIN_THINGS, clear_orders, order_options
from remot.data.tasks.shared.places import box_in_words, kind_of, large_box, visible
from remot.data.tasks.tracks.base import TrackCandidate, TrackTask
from remot.data.tasks.tracks.scene import TrackScene
from remot.errors import ConfigError
from remot.structures import Clip


class TrackOrder(TrackTask):
    """The order in which things first come into view in the shown frames.

    A thing comes between the first frame with a box of it and the first with a large one; these stretches must follow
    each other.

    Args:
        num_tracks: How many are ordered; fewer, down to three, where no more come one after another.
        num_options: Orders that are offered.
        shared: Settings of all questions about tracks, see :class:`TrackTask`.
    """

    name = "track_order"
    needs: ClassVar[str] = "three tracked objects that come into view one after another"

    def __init__(self, num_tracks: int = 4, num_options: int = 4, **shared: Any) -> None:
        super().__init__(**shared)
        if not MIN_THINGS <= num_tracks <= 6 or not 2 <= num_options <= 6:
            msg = f"{self.name}: {num_tracks} tracks and {num_options} options; choose 3 to 6 tracks and 2 to 6 options"
            raise ConfigError(msg)
        self.num_tracks = num_tracks
        self.num_options = num_options

    def serves(self, clip: Clip) -> bool:
        """Whether three things come into view at different times."""
        found = [visible(clip, name) for name in clip.objects]
        return len({int(np.argmax(seen)) for seen in found if seen.any()}) >= MIN_THINGS

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:
        """Drawn sets of tracks that come one after another."""
        entries = {name: (scene.shown(name), scene.clear(name)) for name in scene.names}
        firsts = {name: (int(np.argmax(a)), int(np.argmax(b))) for name, (a, b) in entries.items() if b.any()}
        for found in clear_orders(firsts, self.num_tracks, generator, "too few come into view"):
            if isinstance(found, Refusal):
                yield found
            else:
                ordered = [scene.names[name] for name in found]
                right, wrong, listed = order_options(ordered, self.num_options, generator)
                yield TrackCandidate({"things": listed}, right, wrong, tracks=tuple(sorted(found)))


class TimeInView(TrackTask):
    """The stretch of time in which a thing is in view, ``1.20 to 3.40``, from the times of all annotated frames.

    Only things that come or go, once; a thing that is hidden in between is not asked about.

    Args:
        min_seconds: Shortest stretch.
        max_share: Longest stretch, as a share of the clip.
        num_graphs: Ignored, as the times of graphs would give the answer away; 0, so that a configuration shows this.
        shared: Settings of all questions about tracks, see :class:`TrackTask`.
    """

    name = "time_in_view"
    needs: ClassVar[str] = "a tracked object that comes into view or leaves it"

    def __init__(self, min_seconds: float = 0.5, max_share: float = 0.9, num_graphs: int = 0, **shared: Any) -> None:
        super().__init__(num_graphs=num_graphs, **shared)
        self.min_seconds = min_seconds
        self.max_share = max_share

    def serves(self, clip: Clip) -> bool:
        """Whether something comes or goes."""
        return any(0 < visible(clip, name).sum() < clip.num_frames for name in clip.objects)

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:  # noqa: ARG002
        """One for each track."""
        times = scene.clip.pts_seconds
        for name in scene.names:
            seen = np.flatnonzero(visible(scene.clip, name))
            if not scene.clear(name).any():
                yield Refusal("never clearly seen")
                continue
            first, last = int(seen[0]), int(seen[-1])
            start, end = float(times[first]), float(times[min(last + 1, len(times) - 1)])
            if len(seen) <= last - first:
                yield Refusal("comes and goes more than once")
            elif end - start < self.min_seconds or end - start > self.max_share * (times[-1] - times[0]):
                yield Refusal("too short or too long in view")
            else:
                interval, words = (round(start, 2), round(end, 2)), {"thing": scene.names[name]}
                said = f"{interval[0]:.2f} to {interval[1]:.2f}"
                yield TrackCandidate(words, said, tracks=(name,), interval=interval, has_graphs=False)


class BoxLocalisation(TrackTask):
    """The box of a thing at one moment, in shares of the image.

    Args:
        min_side: Shorter side of the box as a share of the image's.
        shared: Settings of all questions about tracks, see :class:`TrackTask`.
    """

    name = "localisation"

    def __init__(self, min_side: float = 0.04, **shared: Any) -> None:
        super().__init__(**shared)
        self.min_side = min_side

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:
        """A drawn moment of each track."""
        for name in scene.names:
            shown = np.flatnonzero(scene.clear(name))
            if not len(shown):
                yield Refusal("never clearly seen")
                continue
            moment = int(shown[generator.integers(len(shown))])
            box = large_box(scene.clip, name, scene.frames[moment], self.min_side, self.min_pixels)
            if box is None:
                yield Refusal("too small")
                continue
            words = {"thing": scene.names[name], "time": scene.seconds(moment)}
            yield TrackCandidate(words, f"[{box_in_words(box)}]", tracks=(name,), box=box, not_at=moment)


class TrackSize(TrackTask):
    """The longest side of a thing in whole centimetres, where sizes are annotated.

    A name that other things share needs to be pointed out; then the size is that of the thing in the box.
    """

    name = "track_size"
    needs: ClassVar[str] = "tracked objects with sizes (size_metres)"

    def serves(self, clip: Clip) -> bool:
        """Whether a size is known."""
        return any(track.size_metres is not None for track in clip.objects.values())

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:  # noqa: ARG002
        """One for each track with a size."""
        for name in scene.names:
            size = scene.clip.objects[name].size_metres
            centimetres = 0 if size is None else round(100 * float(np.max(size)))
            if centimetres < 1 or not scene.clear(name).any():
                yield Refusal("size not known, or never clearly seen")
            else:
                words = {"thing": scene.names[name]}
                yield TrackCandidate(words, str(centimetres), tracks=(name,), number=centimetres)


class TrackCounting(TrackTask):
    """The number of different tracks of a kind that the shown frames show; each clearly seen in one of them.

    Args:
        min_count: Fewest of a kind.
        shared: Settings of all questions about tracks, see :class:`TrackTask`.
    """

    name = "track_counting"
    needs: ClassVar[str] = "tracked objects of which all of a kind are annotated (complete_kinds)"

    def __init__(self, min_count: int = 2, **shared: Any) -> None:
        super().__init__(**shared)
        self.min_count = min_count

    def serves(self, clip: Clip) -> bool:
        """Whether enough of a kind are annotated, and all of them."""
        kinds = [kind_of(name) for name in clip.objects]
        return any(kinds.count(kind) >= self.min_count for kind in map(called, clip.complete_kinds or ()))

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:  # noqa: ARG002
        """One for each kind; balanced over the numbers within a clip."""
        complete = {called(kind) for kind in scene.clip.complete_kinds or ()} - {""}
        all_kinds = {kind_of(name) for name in scene.clip.objects}
        for kind in sorted(all_kinds):
            tracks = [name for name in scene.clip.objects if kind_of(name) == kind and scene.shown(name).any()]
            if kind not in complete:
                yield Refusal("not every one is annotated")
            elif any(other != kind and other.lower() == kind.lower() for other in all_kinds):
                yield Refusal("written in two ways")
            elif len(tracks) < self.min_count:
                yield Refusal("too few")
            elif not all(scene.clear(name).any() for name in tracks):
                yield Refusal("one is hardly seen")
            else:
                number = len(tracks)
                yield TrackCandidate({"kind": kind}, str(number), verdict=str(number), number=number)
