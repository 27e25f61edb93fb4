"""What is written in C; without a compiler it is not there, and all works without it."""
