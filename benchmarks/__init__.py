"""Benchmarks: gowork beside its peers, all measured in one run."""
