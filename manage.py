#!/usr/bin/env python
"""Django's command line for Tradeplatform."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here; `make run` and `make test` set everything up.")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # a wrong setting is the operator's to mend: one line, never a traceback (F-087)
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
