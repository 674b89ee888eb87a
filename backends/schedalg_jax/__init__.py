"""schedalg's backend for JAX: a whole run is one `lax.scan`, where a compiler traces it."""

from schedalg_jax.jax_backend import JaxBackend

__all__ = ["JaxBackend", "backend"]

backend = JaxBackend()
