"""What must always hold of the rows; ``check_invariants`` runs them all (faults.md, A0).

Each check is a function that yields a breach a finding, with the numbers. A check reads only.
"""

from trades.invariants.breach import Breach
from trades.invariants.registry import CHECKS, Check, Report, check_all

__all__ = ["CHECKS", "Breach", "Check", "Report", "check_all"]
