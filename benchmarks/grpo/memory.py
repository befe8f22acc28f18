"""Looking at the memory of a process; imports nothing heavy, so that it can be done from a small one."""

import resource
from pathlib import Path

PAGE_BYTES = resource.getpagesize()
#: Name of the file a measured process makes when its first step begins.
STARTED = "started"


def resident_bytes(process: int | str) -> int:
    """Resident memory of a process, 0 if it has gone."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def forget_peak() -> None:
    """Let the kernel count this process's peak from here on; where it does not, the peak of loading counts too."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return
