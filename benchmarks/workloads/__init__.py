"""What bin/bench can run, a file for each workload."""
