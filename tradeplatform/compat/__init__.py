"""freqtrade's read-only API over our selectors: ``/freqtrade/api/v1/``, off unless switched on."""
