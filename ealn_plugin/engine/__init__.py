"""The EALN engine, the schemes it trains with, and the machinery of a run that can be stopped anywhere."""
