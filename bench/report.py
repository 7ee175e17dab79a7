"""What a figure looks like."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number: its name, what it counts, its value, and under which conditions."""

    name: str
    unit: str
    value: float
    conditions: dict[str, object] = field(default_factory=dict)

    def line(self) -> str:
        """One JSON object."""
        return json.dumps({"figure": self.name, "value": round(self.value, 3), "unit": self.unit, **self.conditions})
