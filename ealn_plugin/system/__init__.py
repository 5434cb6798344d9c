"""What knows no vehicles: files, pictures, processes, messages, randomness, signals and optional packages."""
