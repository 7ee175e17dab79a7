"""A cosigner: one share of each key, and the courage to refuse."""
