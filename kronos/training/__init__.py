"""Training tokenizer and model on folders of candle files.

files.py       candle files and Qlib folders
corpus.py      their bars in memory, and the events on them
windows.py     training windows, drawn and batched
objectives.py  losses
loop.py        the training loop, over the processes of processes.py and the state of state.py
run.py         a run from folder to checkpoint; recipes.py has that of the bundled model
held_out.py    scores on held-out bars
"""
