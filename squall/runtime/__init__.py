"""What runs plans: buffers, memory, the native runner with its thread pool. It knows no IR."""
