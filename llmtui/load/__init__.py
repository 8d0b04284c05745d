"""Many requests at a time, timed: the loops that send them, and the process that does nothing else."""
