"""Which account nonce a person has named for an order: two that differ could both be signed, and both be sent.

Where too few witnesses vouch for the log, a coordinator that lies can show several cosigners a past of their own. Each
of them then signs one transaction of an order, and people's names for it are all that says which. So whoever is asked
again for the same order names the same nonce, of which the chain takes one; or says that the other one is used up.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from oms_core.chains.intent import Execution, Subject, subject_digest
from oms_core.errors import LocalError, Reason, Refused


class Named:
    """What was named with one authenticator, in a file beside it."""

    def __init__(self, key: Path) -> None:
        """``key`` is the authenticator's file. Raises `LocalError` (CONFIG_INVALID) if what is beside it is damaged."""
        self._path = key.with_name(f"{key.name}.named")
        try:
            held = json.loads(self._path.read_text()) if self._path.exists() else {}
            self._nonces = {str(subject): int(nonce) for subject, nonce in held.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            raise LocalError(f"{self._path.name} is damaged", Reason.CONFIG_INVALID) from None

    def check(self, subject: Subject, execution: Execution | None) -> None:
        """Raises `Refused` (NONCE_CONFLICT) if another nonce was named for this order."""
        before = self._nonces.get(subject_digest(subject).hex())
        if execution is not None and before is not None and before != execution.nonce:
            text = (
                f"you have approved this order with account nonce {before}, and with {execution.nonce} it could "
                f"be sent twice; if the chain has another transaction with nonce {before}, say --other-nonce"
            )
            raise Refused(text, Reason.NONCE_CONFLICT)

    def note(self, subject: Subject, execution: Execution | None) -> None:
        """Remember it, before anybody is told. Raises `LocalError` (CONFIG_INVALID) if it cannot be written."""
        if execution is None:
            return
        self._nonces[subject_digest(subject).hex()] = execution.nonce
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            with new.open("w") as file:
                json.dump(self._nonces, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            raise LocalError(f"cannot write {self._path.name}: {error.strerror}", Reason.CONFIG_INVALID) from None
