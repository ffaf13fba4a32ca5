"""Every figure that the project quotes, each by one command: `python -m benchmarks list`."""
