"""What the machine and the processes need, and what is done when it is too much."""
