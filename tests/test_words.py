"""Wording of the project's files: standard terms, no personification."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUFFIXES = {".md", ".py", ".toml", ".yaml"}
#: Texts of questions are part of the recorded prompt stream.
EXCLUDED = ("remot/assets/", "tests/test_words.py")
WORDS = re.compile(
    r"nobody|somebody|whoever|whomever|anybody|everybody"
    r"|(?<![a-z])(?:is|are|was|were|be|being|been)[\s_]+told(?![a-z])"
    r"|(?<![a-z])ha(?:s|ve)[\s_]+(?:a|no)[\s_]+say\b|(?<![a-z])says?[\s_]+so(?![a-z])"
    r"|\ba\s+word\s+about\b|\bwithout\s+a\s+word\b|pretend(?:ed|ing)|hair\s+below|\bever\s+looks\b",
    re.IGNORECASE,
)


def _tracked_files() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    names = listing.stdout.decode().split("\0")
    return [name for name in names if Path(name).suffix in SUFFIXES and not name.startswith(EXCLUDED)]


def _found(text: str) -> list[tuple[int, str]]:
    return [(text[: hit.start()].count("\n") + 1, hit.group()) for hit in WORDS.finditer(text)]


def test_words():
    names = [name for name in _tracked_files() if (ROOT / name).is_file()]
    assert len(names) > 500
    texts = ((name, (ROOT / name).read_text(encoding="utf-8")) for name in names)
    assert [f"{name}:{line}: {word}" for name, text in texts for line, word in _found(text)] == []


@pytest.mark.parametrize(
    "word",
    ["Whoever", "is told", "are\n    told", "has no say", "PretendedGpu", "test_nobody_asks", "test_a_fault_is_told"],
)
def test_a_word_is_found(word):
    assert _found(f"first line\n{word}")[0][0] == 2


def test_other_words_pass():
    assert _found("It has told; somebodies; says something; pretender") == []
