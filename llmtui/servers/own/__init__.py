"""The frameworks' own server programs, which llmtui starts on the model file of the race: one module each."""
