"""Why the newest decisions did not trade, a sentence each: ``python why_no_trade.py [--last N]``.

TRADEPLATFORM_URL (default http://127.0.0.1:8000) and TRADEPLATFORM_TOKEN (scope read).
"""

import argparse
import itertools
import os
import sys

from tradeplatform_client import Client, ClientError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--last", type=int, default=5)
    asked = parser.parse_args(argv)
    address = os.environ.get("TRADEPLATFORM_URL", "http://127.0.0.1:8000")
    try:
        with Client(address, os.environ["TRADEPLATFORM_TOKEN"]) as client:
            held = client.decisions(action="HOLD")
            for decision in itertools.islice(held, asked.last):
                why = client.why_not(decision["id"])
                print(decision["bar_close_at"], decision["symbol"], why["summary"])
    except ClientError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
