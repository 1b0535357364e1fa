"""What Go itself does that its programs show: the rooms of upstream's programs share it."""
