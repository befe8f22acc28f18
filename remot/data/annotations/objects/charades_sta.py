"""Sentences and when they happen: Charades-STA (arXiv 1705.02101), sentences for the videos of Charades."""

import csv
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from remot.data.annotations.base import (
    AnnotationReader,
    ClipSource,
    check_keys,
    numbered_lines,
    read_json_object,
    read_text,
    require_any,
    require_numbers,
    require_object,
)
from remot.data.annotations.images import video_beside
from remot.errors import AnnotationError
from remot.files import find_files
from remot.structures import Clip, Event

_logger = logging.getLogger(__name__)

BeyondDuration = Literal["clamp", "refuse"]
MAX_SECONDS = 86_400.0


@dataclass(frozen=True)
class _Video:
    """What the annotation says about one video.

    Args:
        events: Text, start and end in seconds, with the place in the file for errors.
        duration_seconds: Length of the video, None if unknown.
        scene: Who filmed it, or the video's own name.
    """

    events: tuple[tuple[str, str, float, float], ...]
    duration_seconds: float | None
    scene: str


@dataclass(eq=False)
class CharadesSTAReader(AnnotationReader):
    """Reads Charades-STA in either of its forms, with a video ``<id>.mp4`` where there is one.

    - JSON ``charades_sta*.json``: ``{"3MSZA": {"duration": 30.96, "timestamps": [[24.3, 30.4]], "sentences":
      ["person turn a light on."]}}``.
    - The original text ``charades_sta*.txt``: lines ``3MSZA 24.3 30.4##person turn a light on.``, with the durations in
      the data set's own tables ``Charades*.csv`` beside it (columns ``id`` and ``length``; of ``subject``, if there,
      clips of one person get one scene). Without a table the durations are not known.

    Times are seconds from the start of the video. The video lies beside the file or in a folder beside it; with it the
    clip has the times of its images, without it no media and the single time 0.

    Args:
        beyond_duration: What to do with an event that ends after its video, as 562 of the test set's 3720 do: ``clamp``
            cuts it there and logs it, ``refuse`` calls the clip bad. An event that starts after its video is refused.
    """

    beyond_duration: BeyondDuration = "clamp"

    def sources(self, root: Path) -> list[ClipSource]:
        """Each video of each file."""
        files = sorted(path for suffix in ("json", "txt") for path in find_files(root, f"*charades_sta*.{suffix}"))
        require_any(files, root, "*charades_sta*.json or .txt", "the sentences")
        return [ClipSource(file, name) for file in files for name in self._kept(_read, file)]

    def read_source(self, source: ClipSource, root: Path) -> Clip:
        """The clip of one video."""
        value = self._kept(_read, source.file)[source.key]
        video = value if isinstance(value, _Video) else _from_json(str(source), source.key, value)
        media, pts_seconds = video_beside(source.file, root, source.key)
        return Clip(
            clip_id=source.key,
            scene_id=video.scene,
            domain="charades_sta",
            media=media,
            pts_seconds=pts_seconds,
            events=tuple(self._event(*event, video.duration_seconds) for event in video.events),
        )

    def _event(self, where: str, text: str, start: float, end: float, duration: float | None) -> Event:
        if not text.strip() or not 0 <= start < end <= MAX_SECONDS:
            msg = f"{where}: {start:g} to {end:g} s for {text[:40]!r} is no stretch of time with a text, correct it"
            raise AnnotationError(msg, reason="times")
        if duration is not None and end > duration:
            if start >= duration or self.beyond_duration == "refuse":
                msg = f"{where}: {start:g} to {end:g} s lies beyond the video's {duration:g} s, correct the times"
                raise AnnotationError(msg, reason="times")
            _logger.info("%s: ends at %g s, cut to the video's %g s", where, end, duration)
            end = duration
        return Event(text.strip(), start, end)


def _from_json(where: str, name: str, value: object) -> _Video:
    content = require_object(where, value)
    check_keys(where, content, ("duration", "timestamps", "sentences"))
    duration = require_numbers(f"{where}: duration", content["duration"], num_axes=0)
    times, sentences = content["timestamps"], content["sentences"]
    if not isinstance(sentences, list) or not isinstance(times, list) or len(times) != len(sentences):
        msg = f"{where}: timestamps and sentences must be lists of equal length"
        raise AnnotationError(msg, reason="unsynchronised")
    if not sentences or any(not isinstance(sentence, str) for sentence in sentences):
        msg = f"{where}: sentences must hold at least one text"
        raise AnnotationError(msg, reason="zero length")
    stretches = require_numbers(f"{where}: timestamps", times, shape=(len(sentences), 2))
    events = tuple(
        (f"{where}: event {k}", text, float(start), float(end))
        for k, (text, (start, end)) in enumerate(zip(sentences, stretches, strict=True), start=1)
    )
    return _Video(events, float(duration), name)


def _read(file: Path) -> dict[str, Any]:
    """Each video of a file by its name: a JSON value, or what a text file says."""
    if file.suffix == ".json":
        return read_json_object(file)
    events: dict[str, list[tuple[str, str, float, float]]] = {}
    for where, line in numbered_lines(file):
        head, separator, text = line.partition("##")
        words = head.split()
        try:
            name, start, end = words[0], float(words[1]), float(words[2])
        except (IndexError, ValueError):
            separator = ""
        if not separator or len(words) != 3:
            msg = f"{where} must read <video> <start> <end>##<sentence>, found {line[:60]!r}"
            raise AnnotationError(msg)
        events.setdefault(name, []).append((where, text, start, end))
    table = _tables(file.parent)
    videos = {}
    for name, found in events.items():
        duration, scene = table.get(name, (None, ""))
        videos[name] = _Video(tuple(found), duration, scene or name)
    return videos


def _tables(folder: Path) -> dict[str, tuple[float, str]]:
    """Duration in seconds and subject of each video in the tables of ``folder``."""
    found = {}
    for file in sorted(folder.glob("Charades*.csv")):
        rows = csv.DictReader(io.StringIO(read_text(file), newline=""))
        try:
            for row in rows:
                seconds = float(row["length"])
                if not 0 < seconds <= MAX_SECONDS:
                    msg = f"found {row['length'][:40]!r}"
                    raise ValueError(msg)  # noqa: TRY301 - the line is named below
                found[row["id"]] = seconds, (row.get("subject") or "").strip()
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            msg = f"{file}: line {rows.line_num} must hold an id and a length in seconds above 0 ({error})"
            raise AnnotationError(msg) from error
    return found
