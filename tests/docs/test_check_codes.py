"""The reference of codes says what the code says."""

import re

import pytest
from pages import ROOT

from hemoseg.datasets.doctor import KINDS, CheckResult, Instance, Repair, Row

PAGE = (ROOT / "docs/reference/check-codes.md").read_text()
TABLES, JSON = PAGE.split("## JSON")


def test_each_kind_has_its_row_and_no_other_has_one():
    rows = re.findall(r"^\| `(.*?)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", TABLES, re.MULTILINE)
    assert rows == [(k.code, k.severity, k.meaning, k.remedy, k.repair or "–") for k in KINDS.values()]


@pytest.mark.parametrize("kind", [CheckResult, Row, Instance, Repair])
def test_each_key_of_the_json_is_described(kind):
    assert [name for name in kind.model_fields if f"`{name}`" not in JSON] == []
