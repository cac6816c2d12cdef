#!/usr/bin/env python
"""Django's command line for Tradeplatform."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
    try:
        from django.core.management import execute_from_command_line

        from tradeplatform.addresses import one_line_refusals
    except ImportError:
        sys.exit("Django is not installed here; `make run` and `make test` set everything up.")
    # a wrong setting is the operator's to mend: one line, never a traceback (F-087)
    with one_line_refusals():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
