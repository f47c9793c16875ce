"""How it is judged: comparison, the verdict of each quantity, its explanation, recorded deviations."""
