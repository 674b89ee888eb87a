"""Our schedules and samplers in real pipelines of diffusers, small and with random weights."""

import json
import math
import os
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from schedalg import (  # noqa: E402
    DDIM,
    DDPM,
    LMS,
    DPMSolverPP,
    Euler,
    EulerAncestral,
    Heun,
    Restart,
    Schedule,
    UniPC,
    sample,
)
from schedalg.interop.diffusers import (  # noqa: E402
    DiffusersScheduler,
    from_diffusers,
    to_diffusers,
)

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


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """The networks are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def ours(config: Any, steps: int, **chosen: Any) -> DiffusersScheduler:
    """The scheduler of diffusers, replaced by ours."""
    read = from_diffusers(config, steps, **chosen)
    return to_diffusers(read.schedule, read.sampler, prediction=read.prediction, clip=read.clip)


def seeded(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


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


# Stable Diffusion.


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The parts of a pipeline of Stable Diffusion."""
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    words = ["<|startoftext|>", "<|endoftext|>", "a", "a</w>", "b", "b</w>", "c</w>"]
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(1)
    text = transformers.CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=1,
        max_position_embeddings=8,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        projection_dim=16,
    )
    return {
        "unet": diffusers.UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            cross_attention_dim=16,
            attention_head_dim=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        ).eval(),
        "vae": _vae(),
        "text_encoder": transformers.CLIPTextModel(text).eval(),
        "tokenizer": transformers.CLIPTokenizer(
            str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=8
        ),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def _vae() -> Any:
    torch.manual_seed(2)
    return diffusers.AutoencoderKL(
        sample_size=16,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
    ).eval()


TRAINED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def painted(pipe: Any, steps: int, seed: int = 0, **options: Any) -> np.ndarray:
    images = quiet(pipe)(
        "a b",
        num_inference_steps=steps,
        generator=seeded(seed),
        output_type="np",
        **{"height": 16, "width": 16, **options},
    ).images
    return np.asarray(images)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1}),
        ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}),
        ("EulerDiscreteScheduler", {"steps_offset": 1, "timestep_spacing": "leading"}),
        ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
        ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}),
        ("HeunDiscreteScheduler", {}),
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("UniPCMultistepScheduler", {"prediction_type": "v_prediction"}),
        ("DEISMultistepScheduler", {"solver_order": 3}),
        ("LCMScheduler", {}),
    ],
)
def test_stable_diffusion_pipeline(stable: Any, name: str, options: dict[str, Any]) -> None:
    theirs = getattr(diffusers, name)(**TRAINED, **{"steps_offset": 1, **options})
    pipe = diffusers.StableDiffusionPipeline(**stable, scheduler=theirs)
    wanted = painted(pipe, 8)
    pipe.scheduler = ours(theirs, 8)
    np.testing.assert_allclose(painted(pipe, 8), wanted, atol=1e-3)


def test_image_to_image_starts_on_the_way(stable: Any) -> None:
    theirs = diffusers.DPMSolverMultistepScheduler(**TRAINED, steps_offset=1)
    pipe = diffusers.StableDiffusionImg2ImgPipeline(**stable, scheduler=theirs)
    image = torch.rand(1, 3, 16, 16, generator=seeded(5))
    options = {"image": image, "strength": 0.6, "output_type": "np"}
    wanted = np.asarray(
        quiet(pipe)("a", num_inference_steps=10, generator=seeded(), **options).images
    )
    pipe.scheduler = ours(theirs, 10)
    result = np.asarray(pipe("a", num_inference_steps=10, generator=seeded(), **options).images)
    np.testing.assert_allclose(result, wanted, atol=1e-3)


def test_custom_timesteps_and_sigmas_in_a_pipeline(stable: Any) -> None:
    base = Schedule.scaled_linear(1000)
    pipe = diffusers.StableDiffusionPipeline(**stable, scheduler=to_diffusers(base, DDIM()))
    chosen = [981, 700, 200, 20]
    image = painted(pipe, 50, timesteps=chosen)
    assert pipe.scheduler.timesteps.tolist() == chosen
    pipe.scheduler = to_diffusers(base.subsample(timesteps=chosen[::-1]), DDIM())
    np.testing.assert_allclose(painted(pipe, 4), image, atol=1e-5)
    pipe.scheduler = to_diffusers(base, Euler())
    sigmas = [10.0, 3.0, 0.4, 0.0]
    assert np.isfinite(painted(pipe, 50, sigmas=sigmas)).all()
    np.testing.assert_allclose(pipe.scheduler.sigmas, sigmas, rtol=1e-6)


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
    # It copies what `step` returned, and a method with memories goes on nevertheless.
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


# The object itself.


def network(x: Any, t: Any) -> Any:
    return 0.6 * x * math.cos(float(t) / 300) + 0.05 * x**2 / (1 + x**2)


def walked(scheduler: DiffusersScheduler, x: Any, generator: Any = None) -> Any:
    for t in scheduler.timesteps:
        output = network(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(output, t, x, generator=generator, return_dict=False)[0]
        yield x


@pytest.mark.parametrize("sampler", [DPMSolverPP(order=3), UniPC(order=2), LMS(), Heun(), DDIM()])
@pytest.mark.parametrize("scale", ["vp", "ve"])
def test_interleaved_runs_do_not_disturb_each_other(sampler: Any, scale: str) -> None:
    base = Schedule.linear(1000)[:990]
    schedule = base if scale == "vp" else base.as_ve()
    a, b = torch.randn(2, 2, 3, 4, 4, generator=seeded())
    alone = []
    for x, steps in ((a, 7), (b, 5)):
        scheduler = to_diffusers(schedule, sampler)
        scheduler.set_timesteps(steps)
        alone.append([*walked(scheduler, x * scheduler.init_noise_sigma)][-1])
        points = schedule.subsample(steps=steps)
        expected = sample(lambda x, t: network(x, t[0]), points, sampler, x * points.prior_std)
        torch.testing.assert_close(alone[-1], expected, rtol=1e-4, atol=1e-4)
    shared = to_diffusers(schedule, sampler)
    shared.set_timesteps(7)
    first = walked(shared, a * shared.init_noise_sigma)
    last = [next(first), None]
    shared.set_timesteps(5)  # between the steps of the first run
    second = walked(shared, b * shared.init_noise_sigma)
    for pair in zip_longest(second, first):
        last = [old if new is None else new for old, new in zip(last, pair[::-1], strict=True)]
    torch.testing.assert_close(last[0], alone[0], rtol=0, atol=0)
    torch.testing.assert_close(last[1], alone[1], rtol=0, atol=0)


def test_a_step_can_be_taken_again() -> None:
    scheduler = to_diffusers(Schedule.linear(1000), DPMSolverPP(order=2))
    scheduler.set_timesteps(5)
    x = torch.randn(1, 3, 4, 4, generator=seeded())
    t, s = scheduler.timesteps[:2]
    after = scheduler.step(network(x, t), t, x).prev_sample
    once = scheduler.step(network(after, s), s, after).prev_sample
    again = scheduler.step(network(after, s), s, after).prev_sample
    torch.testing.assert_close(once, again, rtol=0, atol=0)


def test_noise_of_a_generator_and_of_one_a_sample() -> None:
    scheduler = to_diffusers(Schedule.linear(1000), DDPM())
    scheduler.set_timesteps(4)
    x = torch.randn(2, 3, 4, 4, generator=seeded())
    both = [*walked(scheduler, x, [seeded(1), seeded(2)])][-1]
    scheduler.set_timesteps(4)
    second = [*walked(scheduler, x[1:], seeded(2))][-1]
    torch.testing.assert_close(both[1:], second)


def test_half_precision_stays() -> None:
    scheduler = to_diffusers(Schedule.linear(1000), UniPC())
    scheduler.set_timesteps(4)
    x = torch.randn(1, 3, 4, 4, generator=seeded()).half()
    assert [*walked(scheduler, x)][-1].dtype == torch.float16


def test_noise_is_added_to_data() -> None:
    schedule = Schedule.linear(1000)
    scheduler = to_diffusers(schedule, DDIM())
    x, z = torch.randn(2, 3, 1, 2, 2, generator=seeded())
    noisy = scheduler.add_noise(x, z, torch.tensor([0, 500, 999]))
    torch.testing.assert_close(noisy, schedule.add_noise(x, z, torch.tensor([0, 500, 999])))
    one = scheduler.scale_noise(x, torch.tensor([500]), z)
    torch.testing.assert_close(one, schedule.add_noise(x, z, 500))
    with pytest.raises(ValueError, match="1000"):
        scheduler.add_noise(x, z, torch.tensor([1000]))


def test_what_a_scheduler_says_of_itself() -> None:
    scheduler = to_diffusers(Schedule.linear(1000), Heun(), prediction="v")
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config["num_train_timesteps"] == len(scheduler) == 1000
    assert scheduler.config.get("base_image_seq_len", 256) == 256
    scheduler.set_timesteps(5)
    assert scheduler.order == 2
    assert scheduler.timesteps.tolist() == [800, 600, 600, 400, 400, 200, 200, 0, 0]
    assert len(scheduler.sigmas) == 6
    assert "Heun" in repr(scheduler)


def test_a_dynamic_shift() -> None:
    scheduler = to_diffusers(Schedule.flow(100), Euler(), prediction="flow", dynamic_shift=True)
    sigmas = np.linspace(1, 0.25, 4)
    scheduler.set_timesteps(sigmas=sigmas.tolist(), mu=0.7)
    shifted = math.exp(0.7) / (math.exp(0.7) + 1 / sigmas - 1)
    np.testing.assert_allclose(scheduler.schedule.sigma[::-1], shifted, rtol=1e-12)
    np.testing.assert_allclose(scheduler.timesteps, shifted, rtol=1e-6)


def test_bad_input() -> None:
    base = Schedule.linear(1000)
    scheduler = to_diffusers(base, DDIM())
    x = torch.zeros(1, 3, 4, 4)
    with pytest.raises(TypeError, match="sampler"):
        to_diffusers(base, DDIM)
    with pytest.raises(TypeError, match="schedule"):
        to_diffusers(3, DDIM())
    with pytest.raises(ValueError, match="prediction"):
        to_diffusers(base, DDIM(), prediction="image")
    with pytest.raises(ValueError, match="give one of"):
        scheduler.set_timesteps()
    with pytest.raises(ValueError, match="sigmas"):
        scheduler.set_timesteps(sigmas=[1e9, 1.0])
    with pytest.raises(ValueError, match="num_inference_steps"):
        scheduler.set_timesteps(4, timesteps=[9, 8])
    scheduler.set_timesteps(4)
    with pytest.raises(ValueError, match="timestep is 3"):
        scheduler.step(x, 3, x)
    with pytest.raises(ValueError, match="eta"):
        scheduler.step(x, 750, x, eta=0.5)
    with pytest.raises(TypeError, match="typo"):
        scheduler.step(x, 750, x, typo=0.5)
    after = scheduler.step(x, 750, x).prev_sample
    with pytest.raises(ValueError, match="goes on at 500"):
        scheduler.step(x, 0, x.clone())
    assert after.shape == x.shape
    with pytest.raises(ValueError, match="model_output"):
        scheduler.step(x[:, :2], 500, after)
    noisy = to_diffusers(base, Euler(s_churn=80.0))
    with pytest.raises(ValueError, match="before its first call"):
        noisy.set_timesteps(5)
    climbing = to_diffusers(base, Restart(DDIM(), [(1, 3, 1)]))
    climbing.set_timesteps(6)
    climbing.set_begin_index(2)
    with pytest.raises(ValueError, match="cannot start"):
        climbing.step(x, climbing.timesteps[2], x)
