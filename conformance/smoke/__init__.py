"""Tells an adapter's fault from the implementation's: small checks, made by hand, of the adapter alone."""
