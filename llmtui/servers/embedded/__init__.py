"""The engines that llmtui launches itself: each module is the program of one child process."""
