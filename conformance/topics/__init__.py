"""Questions that users ask again and again: an answer, the cases that show it, and numbers of a run."""
