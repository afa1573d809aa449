"""How a text is scored against a table."""
