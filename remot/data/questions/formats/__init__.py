"""Ways to ask about a triplet."""

from remot.data.questions.formats.base import QuestionFormat, QuestionSpec, Written
from remot.data.questions.formats.choice import MultipleChoice
from remot.data.questions.formats.claims import TrueFalse
from remot.data.questions.formats.comparison import Comparative
from remot.data.questions.formats.numbers import FillIn

__all__ = ["Comparative", "FillIn", "MultipleChoice", "QuestionFormat", "QuestionSpec", "TrueFalse", "Written"]
