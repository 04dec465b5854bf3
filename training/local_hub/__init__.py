"""A stand-in for the Hub on loopback: rehearsals and tests speak to it with the real clients."""
