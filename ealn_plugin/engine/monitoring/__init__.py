"""What is watched while a run trains: losses, TensorBoard events, fixed images and diagnostics."""
