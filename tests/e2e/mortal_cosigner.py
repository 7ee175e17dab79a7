"""A cosigner that dies when it should make its first message of a session that signs an order, unless another one has.

Started like the real one: python -m tests.e2e.mortal_cosigner GRAVE --config F enclave. Whoever makes the file GRAVE
dies, with its index in it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from cosigner.__main__ import main
from cosigner.engine import Engine
from cosigner.guard import Signing
from oms_core.protocol.rounds import Session, Steps

signing = Engine._signing


def dying(self: Engine, granted: Signing, run: Any, session: Session) -> Steps[bytes]:
    """By SIGKILL, before anything is said."""
    try:
        with open(GRAVE, "x") as grave:
            grave.write(str(session.me))
    except FileExistsError:
        return signing(self, granted, run, session)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


if __name__ == "__main__":
    GRAVE = sys.argv.pop(1)
    Engine._signing = dying  # type: ignore[method-assign]
    main()
