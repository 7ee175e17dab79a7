"""The coordinator: proposes, collects, relays; trusted with nothing but its own diligence."""
