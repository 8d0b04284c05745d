"""`llmtui accuracy`: this tool's own error, measured against a server whose times are known."""
