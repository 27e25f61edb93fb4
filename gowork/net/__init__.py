"""Tasks that move bytes: frames, messages, addresses, TLS, streams, managers and relays."""
