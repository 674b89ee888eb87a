"""schedalg's backend for PyTorch: updates in place, one Triton kernel a step on a GPU."""

from schedalg_torch.torch_backend import TorchBackend

__all__ = ["TorchBackend", "backend"]

backend = TorchBackend()
