"""The processes whose time and memory are measured: each reads JSON options and prints JSON."""
