"""Measures how fast forecasts are made, against the published code and against the machine.

__main__.py      the command
workload.py      what is forecast: checkpoint, bars, counts
engines.py       the ways to sample that are compared
process.py       a process of its own for each of them, and the rounds they run in
memory.py        how far memory grew
limits.py        what the machine and the model's size allow at best
scaling.py       how time and memory grow with paths, series and horizon
bulk.py          a command of its own: a walk of many windows against its operations
report.py        the measurements as Markdown
"""
