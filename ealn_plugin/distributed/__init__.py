"""Several processes that train one network: what they exchange, and how they share a batch."""
