"""Rewards as reward functions of TRL's ``GRPOTrainer``. Needs no TRL.

TRL calls ``function(prompts=…, completions=…, completion_ids=…, COLUMN=[…], …)`` and takes a list of numbers, None
where a function is not applicable.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from remot.errors import AnnotationError
from remot.rewards.base import Reward, scored_by
from remot.rewards.offline import reference_from, thinks_from
from remot.structures import Question

#: Columns that hold what a completion is compared with, in the order in which they are looked for.
COLUMNS = ("remot", "reference", "solution")


def trl_reward(reward: Reward) -> Callable[..., list[float | None]]:
    """A reward as TRL calls it.

    What completions are compared with comes from the columns of the data set: ``remot`` of a built folder's
    ``prompts.jsonl``, else ``reference`` in the layout of ``remot score`` as text, which ``remot data convert --to
    parquet`` writes, else the option letters of ``solution``.

    Args:
        reward: Any reward of this library, or one of your own.

    Returns:
        A function with the reward's name, under which TRL logs it.
    """

    def function(completions: Sequence[Any], **columns: Any) -> list[float | None]:  # noqa: ANN401 (TRL's)
        texts = []
        for completion in completions:  # what the model said: the last message of a conversation, or the text
            content = completion if isinstance(completion, str) else completion[-1]["content"]
            parts = [{"text": content}] if isinstance(content, str) else content
            texts.append("".join(part.get("text") or "" for part in parts))
        held = [key for key in (*COLUMNS, "task", "id") if columns.get(key)]
        questions = [_question(f"row {k}", {key: columns[key][k] for key in held}) for k in range(len(texts))]
        ids = columns.get("completion_ids")
        output = scored_by(reward, texts, questions, None if ids is None else [len(one) for one in ids])
        return [None if math.isnan(total) else total for total in output.total.tolist()]

    function.__name__ = reward.name
    return function


def _question(where: str, row: Mapping[str, Any]) -> Question:
    """The question that a row's columns describe."""
    held = next((key for key in COLUMNS if row.get(key)), None)
    if held is None:
        msg = f"{where}: none of the columns {', '.join(COLUMNS)} says what is right; keep them in the data set"
        raise AnnotationError(msg, reason="missing")
    facts = _plain(row[held]) if held == "remot" else {}
    value: Any = {held: row[held]}
    if held == "remot":  # the reference of a line of prompts.jsonl, and its slots with the attributes of their labels
        about = {tuple(label["pair"]): label for label in facts.get("labels") or ()}
        value = dict(facts.get("reference") or {})
        for slot in facts.get("slots") or ():
            label = about[tuple(slot["pair"])]
            named = {key: label.get(key, "") for key in ("attribute", "subject")}
            value.setdefault("slots", []).append(slot | named)
    elif held == "reference":
        value = _json_value(where, row[held])
    reference, slots = reference_from(f"{where}: {held}", value)
    name = str(row.get("id") or where)
    task = str(facts.get("task") or row.get("task") or "")
    return Question(
        name,
        "",
        slots,
        "",
        name,
        task=task,
        reference=reference,
        format=str(facts.get("format") or ""),
        thinks=thinks_from(f"{where}: {held}", facts if held == "remot" else value),
    )


def _json_value(where: str, text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        msg = f"{where}: the column reference is no JSON ({error})"
        raise AnnotationError(msg) from error
    return value


def _plain(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """A value without the keys that are None: Arrow gives every row the keys of all rows."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    return [_plain(one) for one in value] if isinstance(value, list) else value
