"""Agreement of answers to an input and to a changed one."""

from collections.abc import Mapping


def normal_answer(answer: str) -> str:
    """``answer`` in lower case with single spaces and without a full stop at its end."""
    return " ".join(answer.lower().split()).rstrip(".")


def mapped_answer(answer: str, answer_map: Mapping[str, str]) -> str:
    """φ(answer): what ``answer_map`` makes of it as a whole, itself if that is not in it; letters one by one.

    An answer of several option letters, such as CAB, is mapped letter by letter if the map is one of letters.
    """
    answer = normal_answer(answer)
    table = {normal_answer(before): normal_answer(after) for before, after in answer_map.items()}
    if answer in table:
        return table[answer]
    if table and all(len(before) == len(after) == 1 for before, after in table.items()) and " " not in answer:
        return "".join(table.get(letter, letter) for letter in answer)
    return answer


def agrees(answer: str, counterpart: str, answer_map: Mapping[str, str]) -> bool:
    """Whether the answer to the changed input is φ of the answer to the input; two empty answers do not agree."""
    return bool(normal_answer(answer)) and mapped_answer(answer, answer_map) == normal_answer(counterpart)
