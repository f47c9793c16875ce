"""How the suite itself is tried: mutants that it must catch, honest implementations that it must not accuse."""
