"""The monitor's commands: the registry, and the function of each."""
