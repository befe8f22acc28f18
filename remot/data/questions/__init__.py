"""From labels to the text of a question."""
