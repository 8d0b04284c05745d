"""llmtui away from a plain Linux desktop: containers, users without a home, other systems."""
