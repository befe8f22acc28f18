"""The table of what was injected and what was survived, which ``pytest tests/faults`` prints at its end."""

#: Properties of the test that runs; reports carry them, from other processes too.
properties: list[tuple[str, object]] = []
KEY = "injected and survived"


def row(name, injected, survived):
    """A line of the table; fails unless all was survived."""
    properties.append((KEY, (name, injected, survived)))
    assert survived == injected, name


def lines_of(reports):
    """The table: rows of the same name as one, and for files without rows their tests.

    Args:
        reports: Of pytest, of calls of tests below this folder.
    """
    rows, tests = {}, {}
    for report in reports:
        file = report.nodeid.partition("::")[0].rpartition("/")[2]
        found = [value for key, value in report.user_properties if key == KEY]
        for name, injected, survived in found:
            before = rows.setdefault(name, [0, 0])
            before[0] += injected
            before[1] += survived
        counted = tests.setdefault(file, [0, 0, False])
        counted[0] += 1
        counted[1] += report.passed
        counted[2] |= bool(found)
    for file, (num_tests, num_passed, has_rows) in tests.items():
        if not has_rows:
            rows[f"tests of {file}"] = [num_tests, num_passed]
    return [f"| {name} | {injected} | {survived} |" for name, (injected, survived) in rows.items()]
