"""Checkers of real runs: from what clients did and saw to whether the database kept its word, and why not."""
