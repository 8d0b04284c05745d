"""Workers on other machines, by Dask distributed (the extra `cluster`). Imported only when a scheduler is set.

On this side: line.py, remote_worker.py. On the other: task.py, host.py, spool.py. The rest is used on both.
"""
