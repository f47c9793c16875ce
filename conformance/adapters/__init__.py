"""Who is asked: the adapter contract, the registry, and one small file per implementation."""
