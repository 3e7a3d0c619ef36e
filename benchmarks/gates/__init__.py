"""Gates: attacks and soaks with a verdict. `python -m benchmarks.gates.NAME`, --quick for a trial.

Each prints what it tried, its failures, the largest time and memory, and the revision, and exits
with 1 on a failure. docs/reliability.md has the figures.
"""
