"""One run folder and grids of them: built from a configuration, trained, read again."""
