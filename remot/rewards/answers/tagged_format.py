"""Does the completion consist of the elements that a system asks for?"""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.parsing.literals import box_list, one_box
from remot.rewards.parsing.spans import glue_spans, is_quoted_span
from remot.rewards.parsing.tags import first_element, is_sequence, split_last
from remot.structures import Reference

Content = Literal["any", "spans", "boxes", "box", "json_span"]
#: Whether the content of the last element is what it should be, by name.
CONTENTS: Mapping[Content, Callable[[str], bool]] = {
    "any": lambda text: True,  # noqa: ARG005
    "spans": lambda text: glue_spans(text) is not None,
    "boxes": lambda text: box_list(text) is not None,
    "box": lambda text: text.lstrip().startswith("[") and one_box(text) is not None,
    "json_span": is_quoted_span,
}


@dataclass(eq=False)
class TaggedFormatReward(ReferenceReward):
    r"""1 if the completion is the elements ``tags`` with white space between and the last holds what it should.

    As published, each system's ``fullmatch`` of ``<think>.*?</think>\s*<answer>.*?</answer>``, which lets anything
    stand inside an element: VideoChat-R1 (arXiv 2504.06958; outer white space allowed), SpaceR (arXiv 2504.01805; not
    allowed, so a map has to lie inside think), Temporal-RLT (arXiv 2506.01908), Video-STR (arXiv 2510.10976; the
    pattern is not published).

    Args:
        tags: Names of the elements.
        content: What the last element has to hold: anything; ``spans`` such as [(5.2, 10.4)]; ``boxes``; one ``box``;
            ``json_span``, {"start_time": "…", "end_time": "…"}, which is looked for in the last element of its name;
            the others in the first.
        num_items: How many spans at most, or boxes exactly; any number if None. 8 boxes in VideoChat-R1, 3 spans in
            VideoChat-R1.5.
        outer_space: Allow white space before and after.
        once: Each tag exactly once; not published, but then no second answer can hide.
        name: Metric key.
    """

    success_at = None

    tags: tuple[str, ...] = ("think", "answer")
    content: Content = "any"
    num_items: int | None = None
    _: KW_ONLY
    outer_space: bool = True
    once: bool = False
    name: str = "format"

    def __post_init__(self) -> None:
        if len(self.tags) < 1 + (self.content == "json_span") or not all(tag.isidentifier() for tag in self.tags):
            msg = f"the format needs names of elements such as think and answer, got {self.tags}"
            raise ConfigError(msg)
        if self.content not in CONTENTS:
            msg = f"a format holds {', '.join(CONTENTS)}, not {self.content!r}"
            raise ConfigError(msg)

    def score(self, completion: str, reference: Reference) -> float:  # noqa: ARG002
        """1 or 0."""
        text = completion.strip() if self.outer_space else completion
        if self.content == "json_span":
            before, content = split_last(text, self.tags[-1])
            in_order = is_sequence(before, self.tags[:-1], once=self.once)
        else:
            in_order = is_sequence(text, self.tags, once=self.once)
            content = (first_element(text, self.tags[-1]) or "") if in_order else ""
        if not in_order:
            return 0.0
        if self.num_items is not None and self.content == "boxes":
            return float(box_list(content, self.num_items) is not None)
        if self.num_items is not None and self.content == "spans":
            return float(glue_spans(content, self.num_items) is not None)
        return float(CONTENTS[self.content](content))
