"""Jobs in the background: queues, the runs of a session, saving and scoring."""
