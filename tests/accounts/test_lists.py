"""A list operation documents itself and shows its own rows."""

from __future__ import annotations

from accounts.apis import AuditListApi
from accounts.lists import ListOperation
from monitoring.apis import AlertListApi, IncidentListApi
from trades.apis.ledger import FillListApi, OrderListApi

LISTS: tuple[type[ListOperation], ...] = (
    AuditListApi,
    AlertListApi,
    IncidentListApi,
    FillListApi,
    OrderListApi,
)


def test_each_list_has_a_page_of_its_own_rows() -> None:
    """Two lists that shared one page class would show each other's fields."""
    pages = {operation.page.__name__ for operation in LISTS}
    assert pages == {"AuditPage", "AlertPage", "IncidentPage", "FillPage", "OrderPage"}
    for operation in LISTS:
        shown = operation.page().fields["results"].child
        assert type(shown) is operation.row
