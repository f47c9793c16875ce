"""The figures of the suite's speed, one a module, each with what it measures in its docstring.

A module has ``TARGETS``, the figures by name with what each is to reach, and ``measure()``, which returns them.
"""
