"""Asking a queue for many jobs at once."""


def submit(queue, *keys, **options):
    """Submits a job under every key, each for an owner of its own unless `options` name one."""
    for key in keys:
        queue.submit(key, f"payload of {key}", **({"owner": f"owner of {key}"} | options))
