"""What of ours is measured, and on what: the sniper on the embedded chain."""
