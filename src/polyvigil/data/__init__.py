"""Reading, splitting and sampling posts."""
