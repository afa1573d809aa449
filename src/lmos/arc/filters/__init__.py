"""Ready-made filters."""
