"""The checkpoint file: how it is written and read, what it holds, and how a run goes on from it."""
