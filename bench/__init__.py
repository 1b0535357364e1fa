"""Benchmarks beside upstream's programs, in one run: `python -m bench start`. Ratios, not times, are what they are for."""
