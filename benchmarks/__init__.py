"""What the library costs in time and memory, beside the alternatives. `python -m benchmarks [NAME ...]`."""
