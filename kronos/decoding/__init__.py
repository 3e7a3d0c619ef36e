"""Drawing futures.

To be read in this order:

    sampling.py    logits to draws, and the noise that belongs to a path
    tokens.py      what generation reads
    cache.py       keys and values of a context, kept once for all paths
    joined.py      a model's weights as decoding uses them
    columns.py     one decoding step on a processor, in torch operations
    drawing.py     what a model makes of a request
    continuation.py  the paths of one series while they are drawn
    windows.py     windows that slide, read anew at every step
    generate.py    paths of many series, step by step
    decode.py      token paths back to candles
    tiles.py       decoding on a processor with compiled loops: kernels.py, tables.py and
                   tile_memory.py
    rows.py        one decoding step on a GPU
    static_batch.py  memory of fixed shape, and captured CUDA graphs
    graphs.py      which series share such memory
    precision.py   bfloat16 where it pays

and the engine that serves everybody:

    limits.py, batch.py  how much a queue holds, how large a batch gets
    jobs.py        a job, and what outsiders may see of it
    queue.py       who is next; its bookkeeping in ledger.py, waiting_line.py, finished_jobs.py,
                   kept_errors.py and refusals.py
    worker.py      a thread that serves a queue
    models.py      loaded models within a budget of memory
    engine.py      one thread that steps all requests together
    runner.py      one thread for anything else, such as downloads
"""
