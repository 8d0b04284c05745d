"""The history: one SQLite file, to which engines write every iteration before clients see it.

It returns the structs of llmtui.model and the rows of llmtui.store.rows. A history may come from an untrusted source:
the file is checked before it is opened, its tables before they are read, and every value as it is read.
"""
