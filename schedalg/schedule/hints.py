"""What attributes of other libraries are called here, for errors that name the right word."""

#: What schedulers and process objects have elsewhere, and what Python is to suggest.
_ATTRIBUTES = {
    "betas": "'to_betas()'",
    "alphas": "'to_alphas()'",
    "alphas_cumprod": "'to_alphas_cumprod()'",
    "alpha_bar": "'to_alphas_cumprod()'",
    "alpha_bars": "'to_alphas_cumprod()'",
    "sqrt_alphas_cumprod": "'alpha'",
    "sqrt_one_minus_alphas_cumprod": "'sigma'",
    "alpha_t": "'alpha'",
    "sigma_t": "'sigma'",
    "sigmas": "'to_sigmas()' (sigma / alpha) or 'sigma' (on a flow, t)",
    "log_snr": "'to_log_snr()'",
    "log_snrs": "'to_log_snr()'",
    "snr": "'to_log_snr()'",
    "lambda_t": "'to_log_snr()' (twice that)",
    "num_timesteps": "'len(schedule)'",
    "num_train_timesteps": "'len(schedule)'",
    "init_noise_sigma": "'prior_std'",
    "set_timesteps": "'subsample(steps=...)'",
    "q_sample": "'add_noise()'",
    "get_velocity": "'target()'",
}


def unknown_attribute(owner: object, name: str) -> AttributeError:
    """Return the error for an attribute that does not exist, in Python's words."""
    message = f"{type(owner).__name__!r} object has no attribute {name!r}"
    if name in _ATTRIBUTES:
        message += f". Did you mean: {_ATTRIBUTES[name]}?"
    return AttributeError(message, name=name, obj=owner)
