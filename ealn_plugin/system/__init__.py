"""What knows no vehicles: pictures, files, messages, processes."""
