"""Finding what of a large table may matter to a message without looking at all of it."""
