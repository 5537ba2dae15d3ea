"""Where it runs: each module starts the `flan-t5x` command somewhere, and knows nothing else."""
