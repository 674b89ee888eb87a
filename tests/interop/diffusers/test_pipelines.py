"""Our schedules and samplers in real pipelines of diffusers, small and with random weights."""

import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from schedalg import LMS, DPMSolverPP, Euler, EulerAncestral, Heun, Schedule, UniPC, sample  # noqa: E402
from schedalg.interop.diffusers import from_diffusers, to_diffusers  # noqa: E402
from tests.interop.diffusers.pipelines import _one_thread, _vae, ours, quiet, seeded  # noqa: E402

__all__ = ["_one_thread"]

pytestmark = [
    # torch's tensors where diffusers calls NumPy with them, and what both libraries will change.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers"),
]


@pytest.fixture(scope="module")
def unet() -> Any:
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    ).eval()


def unconditional(pipe: Any, steps: int) -> np.ndarray:
    images = quiet(pipe)(
        batch_size=2, generator=seeded(), num_inference_steps=steps, output_type="np"
    ).images
    return np.asarray(images)


@pytest.mark.parametrize("options", [{}, {"clip_sample": False}, {"timestep_spacing": "trailing"}])
def test_ddpm_pipeline(unet: Any, options: dict[str, Any]) -> None:
    theirs = diffusers.DDPMScheduler(**options)
    wanted = unconditional(diffusers.DDPMPipeline(unet=unet, scheduler=theirs), 10)
    pipe = diffusers.DDPMPipeline(unet=unet, scheduler=ours(theirs, 10))
    np.testing.assert_allclose(unconditional(pipe, 10), wanted, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"clip_sample": False}, {"set_alpha_to_one": False}])
def test_ddim_pipeline(unet: Any, options: dict[str, Any]) -> None:
    theirs = diffusers.DDIMScheduler(**options)
    pipe = diffusers.DDIMPipeline(unet=unet, scheduler=theirs)
    wanted = unconditional(pipe, 10)
    pipe.scheduler = ours(theirs, 10)
    np.testing.assert_allclose(unconditional(pipe, 10), wanted, atol=1e-4)
    # Any schedule, any sampler.
    for sampler in (UniPC(order=3), DPMSolverPP(eta=1.0), Heun(), EulerAncestral(), LMS()):
        pipe.scheduler = to_diffusers(Schedule.cosine(200), sampler, clip=(-1, 1))
        image = unconditional(pipe, 6)
        assert image.shape == wanted.shape
        assert np.isfinite(image).all()


def test_a_pipeline_makes_what_sample_makes(unet: Any) -> None:
    schedule = Schedule.linear(1000).subsample(steps=7, spacing="trailing")
    pipe = diffusers.DDPMPipeline(unet=unet, scheduler=to_diffusers(schedule, UniPC(order=2)))
    image = unconditional(pipe, 7)
    x = torch.randn(2, 3, 8, 8, generator=seeded())
    with torch.no_grad():
        x0 = sample(lambda x, t: unet(x, t).sample, schedule, UniPC(order=2), x)
    expected = (x0 / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_dit_pipeline() -> None:
    torch.manual_seed(3)
    transformer = diffusers.DiTTransformer2DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=4,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_zero",
        norm_elementwise_affine=False,
    ).eval()
    theirs = diffusers.DDIMScheduler(clip_sample=False)
    pipe = diffusers.DiTPipeline(transformer=transformer, vae=_vae(), scheduler=theirs)

    def made() -> np.ndarray:
        images = quiet(pipe)([1, 3], generator=seeded(), num_inference_steps=8, output_type="np")
        return np.asarray(images.images)

    wanted = made()
    pipe.scheduler = ours(theirs, 8)
    np.testing.assert_allclose(made(), wanted, atol=1e-3)
    # It copies the tensor that `step` returned; a multistep method continues nevertheless.
    theirs = diffusers.DPMSolverMultistepScheduler()
    pipe.scheduler = theirs
    wanted = made()
    pipe.scheduler = ours(theirs, 8)
    np.testing.assert_allclose(made(), wanted, atol=1e-3)


@pytest.fixture(scope="module")
def flow() -> Any:
    """The parts of a pipeline of Stable Diffusion 3, without its text encoders."""
    torch.manual_seed(4)
    return {
        "transformer": diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            caption_projection_dim=16,
            pooled_projection_dim=16,
            out_channels=4,
            pos_embed_max_size=8,
        ).eval(),
        "vae": diffusers.AutoencoderKL(
            sample_size=16,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            latent_channels=4,
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
            shift_factor=0.0,
        ).eval(),
        "text_encoder": None,
        "tokenizer": None,
        "text_encoder_2": None,
        "tokenizer_2": None,
        "text_encoder_3": None,
        "tokenizer_3": None,
    }


EVEN = np.linspace(1, 1 / 6, 6).tolist()


# Without sigmas of its own, diffusers would shift them twice.
@pytest.mark.parametrize(("shift", "sigmas"), [(1.0, None), (1.0, EVEN), (3.0, EVEN)])
def test_flow_matching_pipeline(flow: Any, shift: float, sigmas: list[float] | None) -> None:
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    pipe = diffusers.StableDiffusion3Pipeline(**flow, scheduler=theirs)
    prompt = torch.randn(4, 1, 3, 16, generator=seeded(9))

    def made(**options: Any) -> np.ndarray:
        images = quiet(pipe)(
            prompt_embeds=prompt[0],
            negative_prompt_embeds=prompt[1],
            pooled_prompt_embeds=prompt[2, :, 0],
            negative_pooled_prompt_embeds=prompt[3, :, 0],
            height=16,
            width=16,
            num_inference_steps=6,
            generator=seeded(),
            output_type="np",
            **options,
        )
        return np.asarray(images.images)

    wanted = made(**({} if sigmas is None else {"sigmas": sigmas}))
    chosen = {"steps": 6} if sigmas is None else {"sigmas": sigmas}
    read = from_diffusers(theirs, **chosen)
    pipe.scheduler = to_diffusers(read.schedule, read.sampler, prediction=read.prediction)
    np.testing.assert_allclose(made(), wanted, atol=1e-3)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_sigmas_of_a_flow_pipeline_are_shifted_by_the_scheduler(flow: Any, shift: float) -> None:
    """Pipelines list even sigmas, which FlowMatchEulerDiscreteScheduler shifts."""
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    pipe = diffusers.StableDiffusion3Pipeline(**flow, scheduler=theirs)
    prompt = torch.randn(4, 1, 3, 16, generator=seeded(9))

    def made() -> np.ndarray:
        images = quiet(pipe)(
            prompt_embeds=prompt[0],
            negative_prompt_embeds=prompt[1],
            pooled_prompt_embeds=prompt[2, :, 0],
            negative_pooled_prompt_embeds=prompt[3, :, 0],
            height=16,
            width=16,
            sigmas=EVEN,
            generator=seeded(),
            output_type="np",
        )
        return np.asarray(images.images)

    wanted = made()
    pipe.scheduler = to_diffusers(
        from_diffusers({"_class_name": type(theirs).__name__}).schedule,
        Euler(),
        prediction="flow",
        shift=shift,
    )
    np.testing.assert_allclose(made(), wanted, atol=1e-3)
    read = from_diffusers(theirs, sigmas=EVEN)
    pipe.scheduler = to_diffusers(
        read.schedule, read.sampler, prediction=read.prediction, spacing="all"
    )
    np.testing.assert_allclose(made(), wanted, atol=1e-3)
    with pytest.raises(ValueError, match="5 points are asked for, and with spacing='all'"):
        pipe.scheduler.set_timesteps(5)
