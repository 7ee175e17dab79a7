"""The outside chain: nodes, fees, broadcast. What they say is a claim until it is checked."""
