"""The frame of every page: shell, links, messages, glossary and the web server."""
