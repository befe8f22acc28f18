"""What differs between families of models; nowhere else in the library is a family named.

A model is known by what it has, not by its name: :mod:`~remot.models.parts` finds its language model, vision
tower and positions, :mod:`~remot.models.families.experts` its experts and their router. Two classes turn prompts into
inputs: :class:`GridFamily` for models with a grid of patches for each image, computed as one batch and compared with
transformers in this library's tests, and :class:`PlainFamily` for every other image-text-to-text model, which is
compared with its own forward pass before the first prompt.
"""

from typing import TYPE_CHECKING

from remot.models.families.grid import GridFamily
from remot.models.families.names import COMPARED
from remot.models.families.plain import PlainFamily

if TYPE_CHECKING:
    from transformers import PreTrainedModel, ProcessorMixin

__all__ = ["Family", "GridFamily", "PlainFamily", "family_of"]

Family = GridFamily | PlainFamily


def family_of(model: "PreTrainedModel", processor: "ProcessorMixin", name: str) -> Family:
    """How ``model`` takes prompts; ``name`` is for messages."""
    if model.config.model_type in COMPARED:
        return GridFamily(processor)
    return PlainFamily(processor, name)
