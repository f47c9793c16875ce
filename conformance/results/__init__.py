"""What is kept: the rows of a results file, reading, writing and merging them."""
