"""A cosigner with the protection off: it keeps its presignatures in a file, as a build that wants its pool to survive.

Only there to show what the protection is for. Started like the real one:
python -m tests.attack.leaky_cosigner --config F enclave
"""

from __future__ import annotations

import pickle
from pathlib import Path

from cosigner import enclave
from cosigner.__main__ import main
from cosigner.pool import Pool
from oms_core.encoding import decode, encode
from oms_core.protocol.shares import Presignature, PublicPresignature

FILE = Path("pool.pickle")


class LeakyPool(Pool):
    """Reads at the start what was written before; a presignature that is taken is only taken out of memory."""

    def __init__(self) -> None:
        super().__init__()
        if FILE.exists():
            wallet_id, public, secret = pickle.loads(FILE.read_bytes())
            super().put(wallet_id, Presignature(decode(PublicPresignature, public), [secret]))

    def put(self, wallet_id: str, presignature: Presignature) -> None:
        """Keep it in memory and on disk."""
        FILE.write_bytes(pickle.dumps((wallet_id, encode(presignature.public), presignature.secret[0])))
        super().put(wallet_id, presignature)


if __name__ == "__main__":
    enclave.Pool = LeakyPool  # type: ignore[misc]
    main()
