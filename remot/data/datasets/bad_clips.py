"""What a run does about files that fail or change while it reads them: it ends, or goes on with other prompts."""

import warnings
from dataclasses import dataclass, field, replace

from remot.data.clips.loading import OnBadClip
from remot.data.datasets.prompts import PromptDataset, Sample
from remot.deadline import require_seconds
from remot.errors import AnnotationError, DecodeError
from remot.files import cause_of
from remot.structures import PromptBatch

#: Prompts that are tried in place of one that cannot be read.
MAX_REPLACEMENTS = 8


@dataclass(eq=False)
class BadClips:
    """How prompts that cannot be read are handled, and which have been reported.

    Args:
        on_bad_clip: ``raise`` ends the run; ``skip`` replaces the prompt by one that its address determines, and starts
            data workers again that were ended or give nothing.
        max_wait_seconds: Longest time for a batch to be read.

    Raises:
        ConfigError: If ``max_wait_seconds`` is none that can be waited.
    """

    on_bad_clip: OnBadClip = "raise"
    max_wait_seconds: float = 600.0
    _reported: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        require_seconds("data.options.max_wait_seconds", self.max_wait_seconds)

    def prompt(self, dataset: PromptDataset, address: int) -> Sample:
        """The prompt at an address, or its replacement.

        A replacement is a function of the address and the files alone, so that a resumed run sees the same prompts.

        Raises:
            DecodeError: If it cannot be read and is not to be replaced, or its replacements cannot be read either.
        """
        faults: list[tuple[str, str]] = []
        while True:
            try:
                sample = dataset.replacement(address, len(faults)) if faults else dataset.prompt(address)
                return replace(sample, replaced=tuple(faults))
            except (AnnotationError, DecodeError) as error:
                name, reason, message = error.clip_id or str(error), error.reason, str(error)
            except OSError as error:
                name, reason, message = str(error), "media", f"a file cannot be read: {cause_of(error)}"
            faults.append((name, message))
            where = f"prompt {dataset.prompt_id(address)}: {faults[0][1]}"
            if self.on_bad_clip == "raise":
                msg = f"{where}; repair it and continue, or leave bad clips out by data.options.on_bad_clip: skip"
                raise DecodeError(msg, reason=reason)
            if len(faults) > MAX_REPLACEMENTS:
                msg = f"{where}; {MAX_REPLACEMENTS} prompts in its place cannot be read either, the last: {message}"
                raise DecodeError(msg, reason=reason)

    def report(self, batch: PromptBatch) -> None:
        """Warn of clips that could not be read for ``batch``, of each once."""
        for name, message in batch.replaced:
            if name not in self._reported:
                self._reported.add(name)
                warnings.warn(f"{message}; other prompts take its place", stacklevel=2)
