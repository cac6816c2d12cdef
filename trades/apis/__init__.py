"""Decisions, the ledger, risk and the kill switch over HTTP."""
