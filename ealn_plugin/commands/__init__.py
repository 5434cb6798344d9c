"""The command lines: one module a sub-command of ``ealn``, with its arguments, their checks and the wiring.

Nothing of torch is imported before the arguments are known to be good: modules of other rooms that need it are imported
in the functions that use them, behind ``entrances.register``.
"""
