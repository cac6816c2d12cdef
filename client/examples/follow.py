"""Print trades and alerts as they happen: ``python follow.py [--frames N] [TOPIC ...]``.

TRADEPLATFORM_URL (default http://127.0.0.1:8000) and TRADEPLATFORM_TOKEN (scope read). Needs
``websockets``.
"""

import argparse
import itertools
import json
import os
import sys

from tradeplatform_client import Client, ClientError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, help="end after so many")
    parser.add_argument("topics", nargs="*", default=["trades", "alerts"])
    asked = parser.parse_args(argv)
    address = os.environ.get("TRADEPLATFORM_URL", "http://127.0.0.1:8000")
    client = Client(address, os.environ["TRADEPLATFORM_TOKEN"])
    try:
        with client.stream(*asked.topics) as frames:
            for frame in itertools.islice(frames, asked.frames):
                text = "" if frame.topic == "snapshot" else json.dumps(frame.data)
                print(frame.seq, frame.topic, text, flush=True)
    except ClientError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
