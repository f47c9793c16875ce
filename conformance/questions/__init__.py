"""The questions that people ask again and again, each with an answer whose numbers are computed when it is given."""
