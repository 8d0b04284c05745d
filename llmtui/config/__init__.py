"""The configuration file: finding it, reading it, checking it, and its error messages."""
