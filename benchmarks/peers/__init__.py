"""Other programs on the same bytes in the same run: ``python -m benchmarks.peers``."""
