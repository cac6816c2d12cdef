#!/usr/bin/env python
"""Django's command line for Tradeplatform."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
    try:
        from tradeplatform.addresses import one_line_refusals
        from tradeplatform.command_line import OneLineUtility
    except ImportError:
        sys.exit("Django is not installed here; `make run` and `make test` set everything up.")
    # a wrong setting is the operator's to mend: one line, never a traceback (F-087)
    with one_line_refusals():
        OneLineUtility(sys.argv).execute()


if __name__ == "__main__":
    main()
