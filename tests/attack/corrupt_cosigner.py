"""A cosigner of a patched build: it signs whatever it is shown, writes nothing down, and is otherwise the real one.

Started like the real one: python -m tests.attack.corrupt_cosigner --config F enclave
"""

from __future__ import annotations

from cosigner.__main__ import main
from cosigner.guard import Granted, Guard, Signing
from oms_core.evidence import Request, SignRequest
from oms_core.keys import KeyState
from oms_core.protocol.packets import SessionSpec


def believe(self: Guard, spec: SessionSpec, request: Request, now: int, note: bytes = b"") -> Granted:
    """No check at all for orders."""
    if not isinstance(request, SignRequest):
        return decide(self, spec, request, now, note)
    _, material = self._vault.key(spec.key_id, KeyState.ACTIVE)
    return Signing(material, spec.digest, b"", None, self._vault.workspace(), {}, None)


decide = Guard.decide

if __name__ == "__main__":
    Guard.decide = believe  # type: ignore[method-assign]
    main()
