"""What can go wrong, each kind by its name.

CertsError
├── AlreadyThere        something would have been overwritten
├── NoAuthority         the folder holds no authority, or half of one
├── WrongPassphrase     the authority's key does not open
├── InvalidName         a name, DNS name, address or validity that no certificate may carry
├── NotOfThisAuthority  signed by another authority, whatever name it gives
├── Revoked             on the revocation list
└── FileTrouble         a file that cannot be read, parsed or written
"""

from __future__ import annotations


class CertsError(Exception):
    """What could not be done, in one line for people."""


class AlreadyThere(CertsError):
    """Nothing is overwritten: keys have no second copy."""


class NoAuthority(CertsError):
    """No authority, or its certificate and its key do not belong together."""


class WrongPassphrase(CertsError):
    """No passphrase, an empty one, or another one."""


class InvalidName(CertsError):
    """Refused before anything is signed."""


class NotOfThisAuthority(CertsError):
    """The signature decides, not the issuer's name: every authority of this tool has the same name."""


class Revoked(CertsError):
    """Already on the list, or to be renewed though it is."""


class FileTrouble(CertsError):
    """Reading, parsing or writing failed."""
