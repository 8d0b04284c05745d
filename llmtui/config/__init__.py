"""The configuration file: where it is found, what it may say, and the errors it gets."""
