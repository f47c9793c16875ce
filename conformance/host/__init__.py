"""How it is asked: the wire protocol, the worker that holds an adapter, and its client."""
