"""The API for programs: forecasts by HTTP.

    app.py        the application: routes, middleware, OpenAPI
    orders.py     what a program asks for, checked, and the request that it makes
    forecasts.py  routes of forecasts: order, state, progress, result, end
    engine.py     routes of the service itself, for kronos.Client
    catalogue.py  routes of models, scores, calibration, events
    answers.py    a forecast in the formats that a program reads
    spool.py      acknowledged orders, on disk
    gate.py       who may ask, how often and how much; request ids, log, metrics
    keys.py       API keys, hashed at rest
    problems.py   errors as problem+json (RFC 9457)
    metrics.py    figures for Prometheus
    feeds.py      where bars, events and leading markets come from

Needs the extra `api`. See docs/api.md.
"""
