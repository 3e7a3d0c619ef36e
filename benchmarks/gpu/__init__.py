"""Checks of decoding on a CUDA device, and their dry form on a processor.

recorded.py      the operations of a function, recorded and run again without its Python code
"""
