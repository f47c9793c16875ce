"""A module that takes the process down while it is imported."""

import os

os._exit(3)
