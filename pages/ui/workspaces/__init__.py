"""Workspaces: pages with their settings, and own events, under a name.

workspace.py   what one is, and as a file
view.py        saved, opened, exported and imported in the sidebar of every page
"""
