"""What can be said about rules before they decide anything: questions asked of the same `judge` that decides orders."""
