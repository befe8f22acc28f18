"""The table adds up what tests report, also from other processes, and shows what was not survived."""

from types import SimpleNamespace

import pytest

from tests.faults import table


def report(file, passed, *rows):
    found = [(table.KEY, list(row)) for row in rows]  # as other processes send them
    return SimpleNamespace(nodeid=f"tests/faults/{file}::test", passed=passed, user_properties=[("other", 1), *found])


def test_rows_of_a_name_are_added():
    reports = [report("a.py", True, ("kills", 7, 7)), report("a.py", False, ("kills", 7, 6), ("signals", 2, 2))]
    reports += [report("b.py", True), report("b.py", False)]
    assert table.lines_of(reports) == ["| kills | 14 | 13 |", "| signals | 2 | 2 |", "| tests of b.py | 2 | 1 |"]


def test_a_row_fails_and_is_kept(request):
    with pytest.raises(AssertionError, match="kills"):
        table.row("kills", 3, 2)
    assert request.node.user_properties == [(table.KEY, ("kills", 3, 2))]
    request.node.user_properties.clear()
