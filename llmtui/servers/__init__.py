"""Real servers: launching, watching and ending them, and the one model file that the embedded engines share."""
