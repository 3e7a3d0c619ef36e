"""Tools for agents: forecasts by the Model Context Protocol.

    server.py  the tools, their words and schemas
    answers.py what a tool answers: few figures, rounded, with a link
    links.py   the address that opens the same view on the pages

Needs the extra `api`. See docs/agents.md.
"""
