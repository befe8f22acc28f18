"""The words of the questions, in plain ASCII. ``{subject}`` is the thing asked about, without an article."""

#: Wordings by attribute; the first is the plainest and the only one used with ``num_wordings=1``.
WORDINGS: dict[str, tuple[str, ...]] = {
    "camera_yaw": (
        "Which way did the camera turn, as the viewer sees it?",
        "Seen by the viewer, did the camera turn to the left or to the right?",
        "How did the viewing direction swing sideways, from the viewer's point of view?",
    ),
    "camera_pitch": (
        "Which way did the camera tilt, as the viewer sees it?",
        "Seen by the viewer, did the camera tilt up or down?",
        "How did the viewing direction change in height, from the viewer's point of view?",
    ),
    "effector_horizontal": (
        "Which way did the {subject} move sideways, as the viewer sees it?",
        "Seen by the viewer, did the {subject} go to the left or to the right?",
        "To which side did the {subject} travel, from the viewer's point of view?",
    ),
    "effector_vertical": (
        "Which way did the {subject} move in height, as the viewer sees it?",
        "Seen by the viewer, did the {subject} go up or down?",
        "Was the {subject} raised or lowered, from the viewer's point of view?",
    ),
    "gripper": (
        "What did the gripper of the {subject} do?",
        "Did the gripper of the {subject} open or close?",
        "How did the gap of the {subject}'s gripper change?",
    ),
    "object_horizontal": (
        "Which way did the {subject} move sideways, as the viewer sees it?",
        "Seen by the viewer, did the {subject} go to the left or to the right?",
        "To which side did the {subject} travel, from the viewer's point of view?",
    ),
    "object_vertical": (
        "Which way did the {subject} move in height, as the viewer sees it?",
        "Seen by the viewer, did the {subject} go up or down?",
        "Did the {subject} rise or sink, from the viewer's point of view?",
    ),
}

#: What the reasoning calls the questions of a prompt, in order. One word names a line, which a small model finds more
#: easily than the pair of numbers that follows.
ORDINALS = ("first", "second", "third")

#: One line for each pair of pictures.
PAIR_LINE = "{ordinal}, {first} to {second}: {options}"

#: The last line, by number of questions.
CLOSING = {
    1: "Think, then answer with one letter: <think>...</think><answer>...</answer>",
    3: "Think, then answer with three letters: <think>...</think><answer>...</answer>",
}
