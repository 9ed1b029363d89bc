"""Files near their entropy, and back to the same bytes."""
