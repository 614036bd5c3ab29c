"""What the project promises in figures, measured: ``python -m benchmarks``.

Not part of the distribution. docs/performance.md says how to read what it prints.
"""
