"""What each kind of step asks of a layer, predicted: a file for each kind."""
