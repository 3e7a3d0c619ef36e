"""The engine on a Ray cluster: what it costs, what it survives, how it grows.

Several Ray nodes on one machine stand for several machines.
"""
