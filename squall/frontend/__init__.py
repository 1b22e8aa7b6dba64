"""What users touch: Tensor, creation, autograd, transforms, random numbers, interchange with NumPy."""
