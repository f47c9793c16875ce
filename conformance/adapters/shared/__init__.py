"""What adapters of one framework have in common."""
