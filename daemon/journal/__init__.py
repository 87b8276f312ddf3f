"""The journal: frames in order, hash-chained; the only record from which everything else is rebuilt."""
