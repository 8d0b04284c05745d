"""Prompts from files: which format a file has, where its records are, and what each of them asks."""
