"""What bin/bench does with workloads and systems: rounds, medians and ratios, tables, files."""
