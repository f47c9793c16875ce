"""Wires pytest to the suite: case files become tests, finished cells become a report."""

pytest_plugins = ["conformance.pytest_plugin"]
