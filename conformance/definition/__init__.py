"""What is true: dialects, formulas, simulation of a case, variants and error bounds."""
