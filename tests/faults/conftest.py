"""Prints the table of faults at the end."""

import pytest

from tests.faults import table


@pytest.fixture(autouse=True)
def _rows(request):
    """Rows of a test become properties of its report."""
    table.properties = request.node.user_properties


def pytest_terminal_summary(terminalreporter):
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call" and "tests/faults/" in report.nodeid
    ]
    if reports:
        terminalreporter.section("injected and survived")
        for line in ("| fault | injected | survived |", "|---|---|---|", *table.lines_of(reports)):
            terminalreporter.write_line(line)
