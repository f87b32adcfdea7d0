"""The table of faults names tests that are there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs/reference/faults.md").read_text()
NAMED = re.findall(r"`((?:integration|unit)/[\w/]+\.py)::(\w+)`", PAGE)


def test_every_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| fault")]
    assert len(rows) > 20
    assert all(".py::test_" in row for row in rows)


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_each_test_of_the_table_exists(file: str, name: str) -> None:
    assert f"def {name}(" in (TESTS / file).read_text()
