"""The local socket between a run's engine and its clients, both ends."""
