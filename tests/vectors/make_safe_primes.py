"""Makes safe_primes.json: published safe primes, so for tests only. Usage: python -m tests.vectors.make_safe_primes"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from oms_core.crypto.primes import safe_prime

SETS = {"512": 5, "1024": 5, "1536": 3}  # bits: parties, four primes each


def main() -> None:
    """Write one list of hexadecimal primes per size."""
    with ProcessPoolExecutor(2) as pool:
        made = {bits: sorted(hex(p) for p in pool.map(safe_prime, [int(bits)] * 4 * n)) for bits, n in SETS.items()}
    Path(__file__).with_name("safe_primes.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
