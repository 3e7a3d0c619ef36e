"""Fine-tuning a model on one's own candles: adapters, whole models, and both again every month.

    split.py       what is learned from, what chooses among steps, what is only scored; by time
    settings.py    how long, how fast, how much memory
    lora.py        adapters in a model: adding them, reading them off
    scoring.py     the fan's CRPS on windows behind the cut-off
    job.py         one run of either kind, from corpus to files
    provenance.py  the revision of the code a run was made with
    rolling.py     champion and challenger, for a scheduler
    history.py     what became of every challenger

Every run goes through the one loop in `kronos.training.loop`.
"""
