"""Our schedules and samplers in Stable Diffusion, small and with random weights."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from schedalg import DDIM, Euler, Schedule  # noqa: E402
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


def test_image_to_image_starts_at_a_later_timestep(stable: Any) -> None:
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


@pytest.fixture(scope="module")
def image() -> Any:
    return torch.rand(1, 3, 16, 16, generator=seeded(5))


LATE = [
    ("DDIMScheduler", {"clip_sample": False}),
    ("DDPMScheduler", {"clip_sample": False}),
    ("EulerDiscreteScheduler", {}),
    ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "leading"}),
    ("HeunDiscreteScheduler", {}),
    ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    ("UniPCMultistepScheduler", {"solver_order": 3}),
    ("DEISMultistepScheduler", {"solver_order": 3}),
    ("LCMScheduler", {}),
]


@pytest.mark.parametrize("strength", [0.13, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(("name", "options"), LATE, ids=str)
def test_image_to_image_at_any_strength(
    stable: Any, image: Any, name: str, options: dict[str, Any], strength: float
) -> None:
    """Also with fewer steps left than the order, and in steps of two calls."""
    theirs = getattr(diffusers, name)(**TRAINED, **{"steps_offset": 1, **options})
    pipe = diffusers.StableDiffusionImg2ImgPipeline(**stable, scheduler=theirs)

    def made() -> np.ndarray:
        given = {"image": image, "strength": strength, "output_type": "np"}
        return np.asarray(
            quiet(pipe)("a", num_inference_steps=8, generator=seeded(), **given).images
        )

    wanted = made()
    pipe.scheduler = ours(theirs, 8, config=theirs.config)
    # The third order of diffusers' DPM-Solver++ is not that of its formula.
    atol = 0.05 if options.get("solver_order") == 3 and name.startswith("DPM") else 1e-3
    np.testing.assert_allclose(made(), wanted, atol=atol)


@pytest.mark.parametrize("strength", [0.13, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("name", ["PNDMScheduler", "LMSDiscreteScheduler"])
def test_image_to_image_where_diffusers_goes_wrong(
    stable: Any, image: Any, name: str, strength: float
) -> None:
    """How it does is in `test_differences`, and what is right in `test_late_starts`."""
    options = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
    theirs = getattr(diffusers, name)(**TRAINED, steps_offset=1, **options)
    pipe = diffusers.StableDiffusionImg2ImgPipeline(**stable, scheduler=ours(theirs, 8))
    given = {"image": image, "strength": strength, "output_type": "latent"}
    latent = quiet(pipe)("a", num_inference_steps=8, generator=seeded(), **given).images
    scheduler = pipe.scheduler
    skipped = (8 - int(8 * strength)) * scheduler.order
    called = len(scheduler.timesteps) - skipped
    assert called == int(8 * strength) + (name == "PNDMScheduler")
    assert scheduler.step_index == len(scheduler.timesteps)
    assert torch.isfinite(latent).all()


@pytest.mark.parametrize("strength", [0.3, 0.7, 1.0])
@pytest.mark.parametrize(("name", "options"), [LATE[0], LATE[2], LATE[4], LATE[7]], ids=str)
def test_inpainting(
    stable: Any, image: Any, name: str, options: dict[str, Any], strength: float
) -> None:
    """It adds noise to the image at the level of the next call, and blends."""
    theirs = getattr(diffusers, name)(**TRAINED, **{"steps_offset": 1, **options})
    pipe = diffusers.StableDiffusionInpaintPipeline(**stable, scheduler=theirs)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 8:] = 1

    def made() -> np.ndarray:
        given = {"image": image, "mask_image": mask, "strength": strength, "output_type": "np"}
        size = {"height": 16, "width": 16, "num_inference_steps": 8}
        return np.asarray(quiet(pipe)("a", generator=seeded(), **given, **size).images)

    wanted = made()
    pipe.scheduler = ours(theirs, 8, config=theirs.config)
    np.testing.assert_allclose(made(), wanted, atol=1e-3)


@pytest.fixture(scope="module")
def distilled(stable: Any) -> Any:
    """The parts of a pipeline of a latent consistency model."""
    torch.manual_seed(6)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=4,
        time_cond_proj_dim=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    ).eval()
    return {**stable, "unet": unet, "image_encoder": None}


@pytest.mark.parametrize("strength", [None, 0.4, 1.0])
def test_latent_consistency(distilled: Any, image: Any, strength: float | None) -> None:
    theirs = diffusers.LCMScheduler(**TRAINED)
    kind = "LatentConsistencyModelPipeline"
    given: dict[str, Any] = {"height": 16, "width": 16}
    if strength is not None:
        kind = "LatentConsistencyModelImg2ImgPipeline"
        given = {"image": image, "strength": strength}
    parts = {**distilled, "scheduler": theirs}
    pipe = getattr(diffusers, kind)(**parts)

    def made() -> np.ndarray:
        # From the schedule of training, of which LCM keeps original_inference_steps.
        asked = {"num_inference_steps": 4, "output_type": "np"}
        images = quiet(pipe)("a", generator=seeded(), **asked, **given, **original).images
        return np.asarray(images)

    original: dict[str, int] = {}
    wanted = made()
    read = from_diffusers(theirs)
    pipe.scheduler = to_diffusers(read.schedule, read.sampler, config=theirs.config)
    np.testing.assert_allclose(made(), wanted, atol=1e-3)
    original["original_inference_steps"] = 50
    pipe.scheduler = to_diffusers(read.schedule, read.sampler)
    np.testing.assert_allclose(made(), wanted, atol=1e-3)


def test_an_eta_of_the_pipeline_is_an_error(stable: Any) -> None:
    pipe = diffusers.StableDiffusionPipeline(
        **stable, scheduler=to_diffusers(Schedule.scaled_linear(1000), DDIM())
    )
    with pytest.raises(ValueError, match=r"eta=0\.5 must be an argument of the sampler"):
        painted(pipe, 4, eta=0.5)


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
