"""The performance lab, for anyone's callable. It imports the spine alone."""
