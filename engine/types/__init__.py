"""The words of the trade: frozen values that every room shares.

Money that moves is ``Decimal``; what is estimated is ``float``. Times are integer UTC
milliseconds. Fractions are fractions (0.01 = 1 %), basis points end in ``_bps``.
"""
