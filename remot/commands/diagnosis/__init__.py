"""The parts of ``remot doctor``: findings, data, model and memory, the probe, disk and tracking."""
