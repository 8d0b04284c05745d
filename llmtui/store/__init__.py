"""The history: every iteration is on disk before anyone is told of it. One SQLite file, written by engines.

What it returns are the structs of llmtui.model and the rows of llmtui.store.rows. A file may come from anybody: what
lies at its name is looked at before it is opened, its tables before they are read, and every value when it is read.
"""
