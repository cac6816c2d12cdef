"""Stop everything, and say what is held: ``python halt.py REASON``.

TRADEPLATFORM_URL (default http://127.0.0.1:8000) and TRADEPLATFORM_TOKEN (scope operate).
"""

import os
import sys

from tradeplatform_client import Client, ClientError, Unreachable


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print("usage: halt.py REASON", file=sys.stderr)
        return 2
    address = os.environ.get("TRADEPLATFORM_URL", "http://127.0.0.1:8000")
    with Client(address, os.environ["TRADEPLATFORM_TOKEN"]) as client:
        try:
            answer = client.halt(argv[0])
            held = client.positions()
        except Unreachable as error:
            print(
                f"{error}; not known whether it is halted: python manage.py halt works without"
                " the web process",
                file=sys.stderr,
            )
            return 1
        except ClientError as error:
            print(error, file=sys.stderr)
            return 1
    print(answer["state"])
    for position in held:
        print(position["id"], position["quantity_base"], position["unrealised_pnl_quote"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
