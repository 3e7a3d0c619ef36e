"""What pages are made of: shell, services, controls, charts, read-outs, exports and messages."""
