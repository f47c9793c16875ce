"""A module that cannot be imported."""

raise OSError("libfancy.so: cannot open shared object file")
