"""Strides: what is taken, and the order in which a kernel reads."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Schedule, UniPC, sample

torch = pytest.importorskip("torch")

from tests.torch.tried import network  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=8)
X = np.random.default_rng(0).standard_normal((2, 3, 4, 5))


@pytest.mark.parametrize("strided", ["channels_last", "turned", "sliced", "apart", "expanded"])
def test_any_strides_will_do(strided: str) -> None:
    x = torch.tensor(X)
    given = {
        "channels_last": x.contiguous(memory_format=torch.channels_last),
        "turned": x.transpose(2, 3).contiguous().transpose(2, 3),
        "sliced": torch.cat([x, x], 1)[:, :3],
        "apart": torch.stack([x, -x], -1)[..., 0],
        "expanded": x[:1].expand(2, 3, 4, 5),
    }[strided]
    kept = given.clone()
    for sampler in (DDIM(), UniPC(3), DDPM("learned_range")):

        def model(x: Any, timesteps: Any, sampler: Any = sampler) -> Any:
            output = network(x, timesteps)
            if sampler == DDPM("learned_range"):
                output = torch.cat([output, output], 1)
            return output.contiguous(memory_format=torch.channels_last)

        straight = given.contiguous()
        results = [sample(model, FAST, sampler, y, noise=[1, 2]) for y in (given, straight)]
        torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)
        if strided == "channels_last":
            assert results[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(given, kept)


def test_what_a_kernel_reads_lies_in_order() -> None:
    """Samples may be apart; what is in one may not."""
    from schedalg_torch.layout import Layout

    x = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    wide = torch.stack([x, -x], -1)
    last = x.contiguous(memory_format=torch.channels_last)
    for like in (x, last):
        layout = Layout.of(like)
        assert layout.channels_last == (like is last)
        order = layout.flat(x).reshape(2, -1)
        for given in (x, last, wide[..., 0], torch.cat([x, -x], 1)[:, :3], x.mT.clone().mT):
            read = layout.flat(given)
            assert read.stride() == (1,)
            assert torch.equal(read, order.flatten())
            read = layout.batched(given)
            assert read.stride(1) == 1
            assert torch.equal(read, order)
            read, apart = layout.samples(given)
            in_memory = torch.as_strided(read, order.shape, (apart, 1), read.storage_offset())
            assert torch.equal(in_memory, order)
        assert torch.equal(layout.shaped(layout.flat(like)), x)
    for row in (x[:, 0, 0, 0], x[:, 0, 0, ::2]):
        assert Layout.of(row).batched(row).stride(1) == 1
    halves = Layout.of(x).batched(torch.cat([x, -x], 1)[:, :3])
    assert halves.stride(0) == 2 * x[0].numel()  # not copied
