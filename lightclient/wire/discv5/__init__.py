"""Node discovery v5.1 without I/O: packets, messages, sessions and look-ups."""
