"""Real servers: discovering, launching, watching and stopping them, and the model file of the embedded engines."""
