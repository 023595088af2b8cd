"""Benchmarks: the proxy beside the source itself and nginx in front of it, in one run. `make bench` runs them."""
