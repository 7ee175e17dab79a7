"""A private certificate authority for one network. Run by people and by the devnet; imported by nobody."""
