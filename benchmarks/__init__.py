"""Measurements. Each prints ratios against something that ran in the same run on the same machine."""
