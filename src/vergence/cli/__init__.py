"""The command line: thin; it parses, calls one verb and prints."""
