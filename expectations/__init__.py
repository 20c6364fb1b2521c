"""What must hold of mapped rows; what does not is quarantined row by row, and every row is accounted for."""
