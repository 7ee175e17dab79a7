"""A cosigner that lies inside the protocol: it runs the real enclave with what it says at one step bent.

Started like the real one: python -m tests.attack.evil_cosigner LIE --config F enclave
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cosigner import engine
from cosigner.__main__ import main
from oms_core.crypto.curve import G, Q
from oms_core.encoding import decode, encode
from oms_core.protocol.judge import ROUNDS
from oms_core.protocol.rounds import Done, Inbox, Outgoing, Steps, resume


def _proof(message: Any) -> Any:
    return replace(message, K=replace(message.K, z1=message.K.z1 + 1))


def _product(message: Any) -> Any:
    return replace(message, psi=replace(message.psi, z2=message.psi.z2 + 1))


LIES: dict[str, tuple[str, bool, Callable[[Any], Any]]] = {
    "range": ("presign.1", True, _proof),
    "product": ("presign.2", True, _product),
    "delta": ("presign.3", False, lambda m: replace(m, delta=(m.delta + 1) % Q)),
    "chi": ("presign.3", False, lambda m: replace(m, S=m.S + G)),
    "sigma": ("sign.1", False, lambda m: replace(m, sigma=(m.sigma + 1) % Q)),
    "share": ("reshare.2", True, lambda m: replace(m, value=(m.value + 1) % Q)),
}
"""By name: the step, whether it is the secret message or the broadcast that is bent, and how."""


def bend(step: str, secret: bool, change: Callable[[Any], Any]) -> None:
    """Make the engine's protocols lie at ``step``."""

    def lying(protocol: Steps[Any], inbox: Inbox | None = None) -> Outgoing | Done[Any]:
        out = resume(protocol, inbox)
        if isinstance(out, Done) or out.step != step:
            return out
        made = ROUNDS[step]
        if secret:
            directs: Mapping[int, bytes] = {
                j: encode(change(decode(made.secret, data, out.limit))) for j, data in out.direct.items()
            }
            return replace(out, direct=directs)
        assert out.broadcast is not None
        return replace(out, broadcast=encode(change(decode(made.broadcast, out.broadcast, out.limit))))

    engine.resume = lying  # type: ignore[assignment]


if __name__ == "__main__":
    bend(*LIES[sys.argv.pop(1)])
    main()
