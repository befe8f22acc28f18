"""How fast steps go and when they will be done."""

from collections import deque


class StepClock:
    """Speed over the last steps, pauses left out.

    All times are seconds of one monotonic clock, handed in by the caller.

    Args:
        window: Calls of :meth:`tick` the speed is taken over; longer than a cycle of an alternating schedule, whose
            phases differ in speed.
    """

    def __init__(self, window: int = 20) -> None:
        self._marks: deque[tuple[int, float]] = deque(maxlen=window + 1)
        self._paused_seconds = 0.0
        self._paused_at: float | None = None

    def start(self, step: int, now: float) -> None:
        """Begin at ``step``, which is not 0 for a run that continues."""
        self._marks.clear()
        self._paused_seconds, self._paused_at = 0.0, None
        self._marks.append((step, now))

    def tick(self, step: int, now: float) -> None:
        """Step number ``step`` is done."""
        self._marks.append((step, now - self._paused_seconds))

    def pause(self, now: float) -> None:
        """Stop counting, for an evaluation."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """Count again; without a pause nothing happens."""
        if self._paused_at is not None:
            self._paused_seconds += now - self._paused_at
            self._paused_at = None

    @property
    def seconds_per_step(self) -> float | None:
        """Mean over the window, None before the first step."""
        if not self._marks or self._marks[-1][0] <= self._marks[0][0]:
            return None
        (first, began), (last, ended) = self._marks[0], self._marks[-1]
        return (ended - began) / (last - first)

    def seconds_left(self, total_steps: int | None) -> float | None:
        """Time until ``total_steps`` are done, None if that cannot be told."""
        speed = self.seconds_per_step
        if speed is None or total_steps is None:
            return None
        return max(0, total_steps - self._marks[-1][0]) * speed
