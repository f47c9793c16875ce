"""Beyond one machine: the same cells on a Dask cluster, whose workers start their own hosts."""
