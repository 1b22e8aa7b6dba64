"""Conducts: what to evaluate becomes a plan, plans are kept by full keys, built by a backend, and run."""
