"""What is measured: latency, batches, throughput, other programs, the machine's limits, parity."""
