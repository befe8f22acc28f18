"""The page that shows prompts: frames, timeline, question, right answer and completions, in one HTML file."""

from remot.viewer.cards import Answer, Card, Timeline, TimelineRow, side_by_side
from remot.viewer.page import page_html, write_page

__all__ = ["Answer", "Card", "Timeline", "TimelineRow", "page_html", "side_by_side", "write_page"]
