import csv
import io
from decimal import Decimal

import pytest
from django.urls import reverse

from accounts.exports import csv_cell, csv_text
from accounts.services import token_create
from tests.accounts.callers import by_session

HOSTILE = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    " =1+1",
    "\uff1d1+1",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_spreadsheet_would_run_stays_text(name):
    """SEC-40"""
    (row,) = csv.reader(io.StringIO(csv_text(["a"], [[name]]).split("\r\n", 1)[1], newline=""))
    assert row == ["'" + name]


@pytest.mark.parametrize("value", [Decimal("-12.5"), -3, "-0.25", "1E-8", "+5", "plain", "a=b"])
def test_numbers_and_plain_text_stay_as_they_are(value):
    """SEC-40: a loss is a number, not a formula."""
    assert csv_cell(value) == str(value)


def test_quotes_commas_and_line_breaks_survive():
    text = csv_text(["a", "b"], [['say "no", twice\nplease', None]])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["a", "b"],
        ['say "no", twice\nplease', ""],
    ]


@pytest.mark.django_db
def test_the_audit_trail_is_exported_with_hostile_names_as_text():
    """SEC-40: a token's name is what anybody with the right to make one types."""
    token_create(name="=HYPERLINK(1)", scope="read", actor="@eve")
    answer = by_session("admin").get(reverse("audit-csv"))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(answer.content.decode(), newline="")))
    assert rows[0][:4] == ["seq", "at", "actor", "action"]
    assert "'@eve" in {row[2] for row in rows}
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "@"))]
