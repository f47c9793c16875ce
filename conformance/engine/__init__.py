"""How a run is driven: cells, workers, what is recorded and published."""
