"""The witnessed log: a Merkle tree of what happened, its signed heads, and what witnesses check before they cosign."""
