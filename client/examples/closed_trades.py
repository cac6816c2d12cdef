"""Closed trades of the current run as CSV: ``python closed_trades.py [--symbol S]``.

TRADEPLATFORM_URL (default http://127.0.0.1:8000) and TRADEPLATFORM_TOKEN (scope read).
"""

import argparse
import csv
import os
import sys
from decimal import Decimal

from tradeplatform_client import Client, ClientError

COLUMNS = ("closed_at", "strategy", "symbol", "quantity_base", "pnl_quote", "exit_reason")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbol")
    asked = parser.parse_args(argv)
    address = os.environ.get("TRADEPLATFORM_URL", "http://127.0.0.1:8000")
    table = csv.writer(sys.stdout)
    table.writerow(COLUMNS)
    total = Decimal(0)
    try:
        with Client(address, os.environ["TRADEPLATFORM_TOKEN"]) as client:
            for trade in client.trades(symbol=asked.symbol):
                table.writerow([trade[name] for name in COLUMNS])
                total += Decimal(trade["pnl_quote"])
    except ClientError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"total {total}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
