"""The figures of the suite's speed, one a module, each with what it measures in its docstring.

A module has ``measure()``, which returns its figures by name; ``figures`` lists them, with what each is to reach.
"""
