"""What happens on the machine during a measurement: other processes, heat, and the servers' own use."""
