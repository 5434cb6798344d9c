"""What ``ealn benchmark`` measures, one module per sub-command, and what they share (measuring.py).

Stands above the engine and everything else of the package: a benchmark may use all of it, nothing uses a benchmark.
"""
