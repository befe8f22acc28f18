"""Ways to ask about a triplet."""

from remot.data.formats.base import Asked, QuestionFormat, Written
from remot.data.formats.choice import MultipleChoice
from remot.data.formats.claims import TrueFalse
from remot.data.formats.comparison import Comparative
from remot.data.formats.numbers import FillIn

__all__ = ["Asked", "Comparative", "FillIn", "MultipleChoice", "QuestionFormat", "TrueFalse", "Written"]
