"""What workers run: a module for each library, which imports that one only."""
