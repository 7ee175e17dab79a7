"""Figures, one JSON object a line. A run's figures compare with each other; machines do not."""
