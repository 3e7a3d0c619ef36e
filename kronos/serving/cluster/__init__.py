"""The engine on many machines, by Ray: the extra `ray`.

To be read in this order:

    connection.py   joining a cluster, and starting one on this machine
    replica.py      one engine behind a Serve deployment
    deployment.py   which deployments there are, and their sizes
    service.py      the service that carries requests to the replicas
    bulk.py         many requests as tasks of workers, beside the replicas
"""
