"""The clips of a folder as a run takes stock of them: checked with their media, the bad ones refused or left out."""

from remot.data.clips.catalogue import ClipStore, report_faults, scan_clips
from remot.data.tasks import MotionContrast


def good_clips(reader, root, on_bad_clip="raise"):
    """The good ones, in the order of their sources."""
    store = ClipStore(reader, root, reader.sources(root))
    catalogue = scan_clips(store, [MotionContrast()], on_bad_clip)
    report_faults(catalogue, root)
    return [store.get(entry.place) for entry in catalogue.entries]
