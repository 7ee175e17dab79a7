"""What an auditor runs: packs of evidence and whole logs, verified offline from what was agreed at the ceremony."""
