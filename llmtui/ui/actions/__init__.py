"""What the monitor's commands do, and the registry of them."""
