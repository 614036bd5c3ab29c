"""The runner of consensus specification test vectors."""
