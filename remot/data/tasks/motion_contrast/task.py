"""The triplets of ReMoT as one task among others."""

from typing import ClassVar


class MotionContrast:
    """Motion-contrast triplets (ReMoT, arXiv 2603.00461), which the other settings of the data section describe.

    Their prompts come from :class:`remot.data.datasets.prompts.TripletDataset`, which balances answers over all clips. This says
    that they are wanted, and, named once among other tasks, that every task comes as often.
    """

    name: ClassVar[str] = "motion_contrast"
    needs: ClassVar[str] = "tracks in which something clearly moves (see docs/conventions.md)"
