"""One rule over a whole history as columns and whole numbers, with the session's own trades.

For parameter searches: ``path.column_trades`` walks the bars once in a compiled kernel and asks the
session's own phase 7 wherever an entry may be made. What it does not cover it refuses with a
reason, before or during the walk; it never answers otherwise than the session would.
"""
