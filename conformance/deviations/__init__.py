"""Recorded deviations, one YAML file per implementation."""
