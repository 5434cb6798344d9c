"""A search that people can use: a local web page, and the JSON interface behind it."""
