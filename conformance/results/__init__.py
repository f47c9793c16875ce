"""What is kept: the rows of a results file, reading, writing, merging and comparing them."""
