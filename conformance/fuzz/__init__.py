"""Cases that nobody thought of: drawn within the definition, judged by the oracle, shrunk to a minimal one."""
