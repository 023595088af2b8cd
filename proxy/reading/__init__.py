"""From the source to the client: one module per endpoint, each shaping what it passes on."""
