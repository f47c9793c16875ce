"""Standalone scripts that repeat one cell with nothing but the framework and NumPy."""
