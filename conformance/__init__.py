"""A conformance suite for batch normalisation across frameworks."""

__version__ = "0.1.0"
