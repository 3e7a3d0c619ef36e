"""Fine-tuning a model on one's own candles: adapters, whole models, and both again every month.

    settings.py  how long, how fast, how much memory; estimates of steps and parameters
    split.py     training, validation and test, by time
    lora.py      adapters in a model
    job.py       one run of either kind, from corpus to files
    rolling.py   champion and challenger, for a scheduler
    report.py    the end of a run in words
    history.py   the decisions of rolling runs

Every run uses the loop of `kronos.training.loop`.
"""
