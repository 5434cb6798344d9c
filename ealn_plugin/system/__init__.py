"""What knows no vehicles: files written whole, processes, messages, randomness, signals and optional packages."""
