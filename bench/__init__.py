"""Benchmarks of Easel: `make bench`. What they measure and what came out is in docs/bench.md."""
