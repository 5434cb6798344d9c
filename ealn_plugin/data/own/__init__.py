"""A user's own photographs as a dataset: a CSV or a folder, read, checked, split by vehicle and registered."""
