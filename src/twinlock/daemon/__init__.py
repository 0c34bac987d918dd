"""The supervisor: configuration, the API, unlocking, and the workers it looks after."""
