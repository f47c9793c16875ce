"""Finds out which dialect an implementation speaks, by asking and predicting; what it declares is not looked at."""
