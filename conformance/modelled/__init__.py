"""Columns of systems that cannot be run here: predicted from what is known of them, and marked so."""
