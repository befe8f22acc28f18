"""How many scenes an interval over scenes needs.

An interval over S scenes can at most span all of them, from the lowest to the highest. Of independent scenes that span
holds the median with probability 1 - 2^(1 - S): 0.94 for five, 0.97 for six. So from fewer than six no interval is one
of 95 %, however it is computed, and from one there is none at all.
"""

#: Scenes that a 95 % interval needs, see above.
MIN_SCENES_FOR_95 = 6


def interval_note(num_scenes: int) -> str:
    """What is wrong with 95 % intervals over this many scenes; "" if nothing is.

    >>> interval_note(6), interval_note(1)
    ('', 'no intervals: 1 scene is too few (at least 2 for an interval, 6 for 95 %)')
    """
    if num_scenes >= MIN_SCENES_FOR_95:
        return ""
    if num_scenes >= 2:
        return (
            f"intervals over {num_scenes} scenes hold less than 95 %, for which at least {MIN_SCENES_FOR_95} are needed"
        )
    count = "1 scene is" if num_scenes == 1 else f"{num_scenes} scenes are"
    return f"no intervals: {count} too few (at least 2 for an interval, {MIN_SCENES_FOR_95} for 95 %)"
