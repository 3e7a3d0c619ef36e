"""Checks and times decoding and training on a CUDA device, within a budget of minutes.

__main__.py      the command: each part in a process of its own, within its share of the minutes
results.py       the file of results, which a second run continues
parts.py         the parts: what each needs, and the results still to be found
golden.py        the published code's outputs on a tiny checkpoint
draws.py         every decoder against the plain network; graphs against single operations
quantiles.py     the quantiles of bfloat16 against those of float32
speed.py         the table of times, beside what bandwidth and launches allow
training.py      memory of LoRA; the training of the bundled model for the minutes left
recorded.py      the operations of a function, recorded and run again without its Python code
report.py        the results as Markdown
"""
