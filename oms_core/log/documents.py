"""The coordinator's own documents that stand in records of the log, for whoever reads it later."""

from __future__ import annotations

from oms_core.encoding import document
from oms_core.protocol.shares import SignedConfirmation


@document("confirmations/1")
class Confirmations:
    """Every party's signed confirmation of a key in one epoch, ascending by index."""

    signed: tuple[SignedConfirmation, ...]


@document("rule-trace/1")
class RuleTrace:
    """Why the rules decided as they did, a line a rule: its kind, its id, and what it came to."""

    lines: tuple[str, ...]
