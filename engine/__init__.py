"""The pure engine: no framework, no clock, no input or output."""
