"""Bundles: requests as files, answered on another machine, brought back and judged."""
