"""Tasks that move bytes: frames, messages, streams, managers and relays, a module for each."""
