"""The page of an account's performance: its words, colours and address."""

from __future__ import annotations

import pytest
from django.urls import reverse

from monitoring.results import amount_words, heat_rows, unit_words
from tests.monitoring import factories as make
from tests.monitoring import scene


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "fraction", "\N{EN DASH}"),
        (-0.01875, "fraction", "\N{MINUS SIGN}1.88 %"),
        (1.5, "ratio", "1.50"),
        (1_204.0, "trades", "1,204"),
        (0.314, "R", "0.31 R"),
        (3.0, "times", "3.00 times"),
        (9_808.916, "USDT", "9,808.92 USDT"),
        (0.00051, "BTC", "0.00051000 BTC"),
        (0.0, "USDT", "0.00 USDT"),
    ],
)
def test_a_figure_has_its_unit(value, unit, words):
    assert unit_words(value, unit) == words


def test_an_amount_tells_gain_from_loss_and_zero_from_both():
    assert amount_words(2.5, signed=True) == "+2.50"
    assert amount_words(-2.5, signed=True) == "\N{MINUS SIGN}2.50"
    assert amount_words(0.0, signed=True) == "0.00"


def test_the_heatmap_has_twelve_cells_a_year_and_colours_by_the_largest_move():
    months = [
        {"year": 2025, "month": 12, "return_fraction": -0.08},
        {"year": 2026, "month": 1, "return_fraction": 0.02},
        {"year": 2026, "month": 3, "return_fraction": 0.0},
    ]
    years = [
        {"year": 2025, "return_fraction": -0.08},
        {"year": 2026, "return_fraction": 0.02},
    ]
    rows = heat_rows(months, years)
    assert [row["year"] for row in rows] == [2026, 2025]
    assert all(len(row["cells"]) == 12 for row in rows)
    assert rows[1]["cells"][11] == {"text": "\N{MINUS SIGN}8.00 %", "heat": "down-4"}
    assert rows[0]["cells"][0] == {"text": "2.00 %", "heat": "up-1"}
    assert rows[0]["cells"][1] is None, "a month that was not traded is no zero"
    assert rows[0]["cells"][2]["heat"] == "flat"


@pytest.mark.django_db
def test_page_and_api_tell_the_same_document(client):
    client.force_login(make.make_user("vera", "viewer"))
    assert b"Nothing to measure yet" in client.get(reverse("account-performance")).content
    run = scene.build(n_bars=120)
    page = client.get(reverse("account-performance"))
    answer = client.get(reverse("api:performance"))
    assert answer.status_code == 200
    found = answer.json()
    assert found["run"] == str(run.code)
    for name in ("figures", "drawdowns", "months", "groups", "curve", "points"):
        assert found[name] == page.context["found"][name], name
    assert found["trades"]["used"] == run.trades.count() > 0
    assert b"too few trades" in page.content


@pytest.mark.django_db
def test_a_currency_that_is_not_traded_is_refused_in_one_line(client):
    client.force_login(make.make_user("vera", "viewer"))
    run = make.make_run()
    make.make_equity(run, [10_000.0, 10_010.0])
    answer = client.get(f"{reverse('api:performance')}?quote=EUR")
    assert answer.status_code == 400
    assert "allowed: USDT, BTC, ETH" in answer.content.decode()
    page = client.get(f"{reverse('account-performance')}?quote=EUR").content.decode()
    assert "Shown in the run&#x27;s own currency" in page
