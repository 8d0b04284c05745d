"""What happens on the machine during a measurement: other processes, stalls, heat, and the servers' own use."""
