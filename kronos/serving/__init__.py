"""The engine that serves every forecast, and the queue in front of it.

To be read in this order:

    jobs.py         a job, its bounds and errors, and what outsiders see of it
    queue.py        which job is next, who waits for it, and which results stay
    worker.py       threads that serve a queue of plain callables, such as downloads
    model_cache.py  loaded models within a budget of memory
    engine.py       one thread that steps all forecasts together
    requests.py     what can be asked of an engine beside a forecast
    interface.py    the service that pages and commands know
    wire.py         requests and answers as bytes
    apart.py        the service in a process of its own
    client.py       the service of a server elsewhere
    local.py        the engine of this process as a service
    cluster/        the service of a Ray cluster
    service.py      which service is chosen
"""
