"""What is shown: one HTML file, made from results only."""
