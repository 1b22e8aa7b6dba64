"""Squall beside its peers, all contenders in turn in one run: `python -m benchmarks --help`.

`cases/` holds the programs, `harness` runs them, `report` turns what the runs wrote into the tables of
`docs/benchmarks.md`. Nothing in the package imports this folder.
"""
