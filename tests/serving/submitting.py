"""Submitting many jobs to a queue at once."""


def submit(queue, *keys, **options):
    """Submit a job under every key, each for an owner of its own unless `options` name one."""
    for key in keys:
        queue.submit(key, f"payload of {key}", **({"owner": f"owner of {key}"} | options))
