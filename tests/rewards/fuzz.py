"""Coverage-guided search for a completion that makes a reward raise, where ``pip install atheris`` works.

``python -m tests.rewards.fuzz -max_total_time=300`` is libFuzzer's command line. It is no test: it ends with the first
completion that breaks something, which then belongs into ``test_every_reward.py``.
"""

import sys

import atheris

with atheris.instrument_imports(include=["remot.rewards", "remot.answers"]):
    from tests.rewards.samples import SAMPLES, say, totals


def one_input(data: bytes) -> None:
    """Score the bytes as a whole, in the reasoning and in the answer."""
    text = atheris.FuzzedDataProvider(data).ConsumeUnicode(4096)
    for sample in SAMPLES.values():
        for total in totals(sample.reward, text, say(text), say("B", text), say("B", more=f"<glue>{text}</glue>")):
            if not -20 < total < 20:
                msg = f"a total of {total}"
                raise AssertionError(msg)


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=4096"], one_input)
    atheris.Fuzz()
