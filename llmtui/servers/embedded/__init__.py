"""The engines that llmtui itself starts: each module is the whole program of one child process."""
