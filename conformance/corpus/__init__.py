"""What is asked: the case model, loading and expansion of case files, and their inputs."""
