"""The crash harness: arrays on media that lose power, and an oracle that knows which contents are legal."""
