"""Features of any image from a trained network."""
