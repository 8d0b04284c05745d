"""`llmtui accuracy`: measures llmtui's own error against a server that logs the true times."""
