"""Servers of frameworks that llmtui starts itself, driven by programs that take the same flags and answer alike."""
