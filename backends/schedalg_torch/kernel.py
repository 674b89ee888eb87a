"""The Triton kernel: everything that a step does to x but the network, in one pass over memory."""

import triton
import triton.language as tl

from schedalg.running.rows import COLUMNS

# The columns of the table, and after them the weights of the ring's places.
(
    _X,
    _D,
    _RAW,
    _NOISE,
    _MEMORY_X,
    _MEMORY_D,
    _MEMORY_RAW,
    _REMEMBERED,
    _C_X,
    _C_OUT,
    _NEXT_C_IN,
    _MIDDLE,
    _HALF,
    _LOW,
    _HIGH,
    _RING,
) = (tl.constexpr(i) for i in range(len(COLUMNS) + 1))
_TURN = tl.constexpr(6.283185307179586 / 2.0**64)


@triton.jit
def _philox(counter, level, visit, domain, key_0, key_1):
    """Return the four words of Philox4x64-10 for the counters (counter, level, visit, domain)."""
    c0 = counter
    c1 = tl.zeros_like(counter) + level
    c2 = tl.zeros_like(counter) + visit
    c3 = tl.zeros_like(counter) + domain
    k0 = tl.zeros_like(counter) + key_0
    k1 = tl.zeros_like(counter) + key_1
    m0 = tl.full(counter.shape, 0xD2E7470EE14C6C93, tl.uint64)
    m1 = tl.full(counter.shape, 0xCA5A826395121157, tl.uint64)
    w0 = tl.full(counter.shape, 0x9E3779B97F4A7C15, tl.uint64)
    w1 = tl.full(counter.shape, 0xBB67AE8584CAA73B, tl.uint64)
    for _ in tl.static_range(10):
        high_0, low_0 = tl.umulhi(m0, c0), m0 * c0
        high_1, low_1 = tl.umulhi(m1, c2), m1 * c2
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0 += w0
        k1 += w1
    return c0, c1, c2, c3


@triton.jit
def _pair(word, other, REAL: tl.constexpr):
    """Return the two normals of two words, by Box and Muller."""
    # u and 1 - u, each to the last digit that REAL has: float32 cannot hold a u close to 1.
    u = ((word >> 11).to(REAL) + 0.5) * 2.0**-53
    rest = ((~word >> 11).to(REAL) + 0.5) * 2.0**-53
    near = 1.0 - rest
    exact = tl.where(near == 1.0, 1.0, near - 1.0)
    log1p = tl.where(near == 1.0, -rest, tl.log(near) * (-rest / exact))
    radius = tl.sqrt(-2.0 * tl.where(rest < 0.5, log1p, tl.log(u)))
    angle = other.to(tl.int64, bitcast=True).to(REAL) * _TURN
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def _normal(start, level, visit, domain, keys, sample, BLOCK: tl.constexpr, REAL: tl.constexpr):
    """Return the elements start … start + BLOCK - 1 of a sample's noise; 4 divides start."""
    counter = (start // 4 + 1 + tl.arange(0, BLOCK // 4)).to(tl.uint64)
    key_0 = tl.load(keys + 2 * sample).to(tl.uint64, bitcast=True)
    key_1 = tl.load(keys + 2 * sample + 1).to(tl.uint64, bitcast=True)
    level = level.to(tl.uint64, bitcast=True)
    visit = visit.to(tl.uint64, bitcast=True)
    domain = domain.to(tl.uint64, bitcast=True)
    w0, w1, w2, w3 = _philox(counter, level, visit, domain, key_0, key_1)
    z0, z1 = _pair(w0, w1, REAL)
    z2, z3 = _pair(w2, w3, REAL)
    return tl.interleave(tl.interleave(z0, z2), tl.interleave(z1, z3))


@triton.jit
def _term(weight, value):
    """Return weight value; 0 where the weight is, be the value infinite."""
    return tl.where(weight == 0.0, 0.0, weight * value)


@triton.jit
def _place(j, count, channels):
    """Return where element j of a sample lies, if every `channels` elements lie together."""
    places = count // channels
    return (j % places) * channels + j // places


@triton.jit
def _where(count, BLOCK: tl.constexpr):
    """Return the sample of this program, and the first element of it that the program updates."""
    blocks = (count - 1) // BLOCK + 1
    return tl.program_id(0) // blocks, (tl.program_id(0) % blocks) * BLOCK


@triton.jit
def normal(
    after,
    keys,
    words,
    count,
    channels,
    TOGETHER: tl.constexpr,
    BLOCK: tl.constexpr,
    REAL: tl.constexpr,
):
    """Write the noise of a draw, whose three words are in memory."""
    sample, start = _where(count, BLOCK)
    j = start + tl.arange(0, BLOCK)
    place = j
    if TOGETHER:
        place = _place(j, count, channels)
    level, visit, domain = tl.load(words), tl.load(words + 1), tl.load(words + 2)
    z = _normal(start, level, visit, domain, keys, sample, BLOCK, REAL)
    tl.store(after + sample.to(tl.int64) * count + place, z, mask=j < count)


@triton.jit
def step(
    x,
    d,
    raw,
    variance,
    noise,
    after,
    model_input,
    ring,
    keys,
    draws,
    table,
    row_at,
    count,
    channels,
    d_apart,
    raw_apart,
    variance_apart,
    ring_apart,
    DEPTH: tl.constexpr,
    READ: tl.constexpr,
    RAW: tl.constexpr,
    NOISE: tl.constexpr,
    LEARNED: tl.constexpr,
    WRITES_INPUT: tl.constexpr,
    TOGETHER: tl.constexpr,
    EACH: tl.constexpr,
    BLOCK: tl.constexpr,
    REAL: tl.constexpr,
):
    """Take BLOCK elements of a sample through one row of the table; see `rows.Row`.

    With EACH, `row_at` holds for each sample its row, and its place in x, the ring and the keys.
    """
    sample, start = _where(count, BLOCK)
    if EACH:
        row, held = tl.load(row_at + 2 * sample), tl.load(row_at + 2 * sample + 1)
    else:
        row, held = tl.load(row_at), sample.to(tl.int64)
    of = table + row * (_RING + DEPTH)
    j = start + tl.arange(0, BLOCK)
    inside = j < count
    place = j
    if TOGETHER:
        place = _place(j, count, channels)
    batch = sample.to(tl.int64)
    own = held * count + place  # in x and the memories
    mine = batch * count + place  # in the batch: noise and the next input
    x_now = tl.load(x + own, mask=inside, other=0.0).to(REAL)
    d_now = tl.load(d + batch * d_apart + place, mask=inside, other=0.0).to(REAL)
    raw_now = d_now
    if RAW and not READ:
        raw_now = tl.load(raw + batch * raw_apart + place, mask=inside, other=0.0).to(REAL)
    if READ:
        d_now = _term(tl.load(of + _C_X), x_now) + _term(tl.load(of + _C_OUT), d_now)
        low, high = tl.load(of + _LOW), tl.load(of + _HIGH)
        d_now = tl.where(d_now < low, low, tl.where(d_now > high, high, d_now))  # NaN stays NaN
    total = _term(tl.load(of + _X), x_now) + _term(tl.load(of + _D), d_now)
    if RAW:
        weight = tl.load(of + _RAW)  # adding 0 would turn -0 into 0
        total = tl.where(weight == 0.0, total, total + weight * raw_now)
    for slot in tl.static_range(DEPTH):
        weight = tl.load(of + _RING + slot)
        if weight != 0.0:
            memory = tl.load(
                ring + slot * tl.cast(ring_apart, tl.int64) + own, mask=inside, other=0.0
            )
            total += weight * memory.to(REAL)
    if NOISE != 0:
        deviation = tl.load(of + _NOISE)
        if deviation != 0.0:
            if NOISE == 1:
                z = tl.load(noise + mine, mask=inside, other=0.0).to(REAL)
            else:
                level, visit = tl.load(draws + 2 * row), tl.load(draws + 2 * row + 1)
                z = _normal(start, level, visit, row * 0, keys, held, BLOCK, REAL)
            if LEARNED:
                v = tl.load(variance + batch * variance_apart + place, mask=inside, other=0.0)
                log_variance = tl.load(of + _MIDDLE) + _term(tl.load(of + _HALF), v.to(REAL))
                z *= tl.exp(0.5 * log_variance)
            total += deviation * z
    tl.store(after + own, total, mask=inside)
    if WRITES_INPUT:
        x_next = total.to(after.dtype.element_ty).to(REAL)
        tl.store(model_input + mine, tl.load(of + _NEXT_C_IN) * x_next, mask=inside)
    if DEPTH > 0:
        remembered = tl.load(of + _REMEMBERED)
        if remembered != 0.0:
            memory = _term(tl.load(of + _MEMORY_X), x_now)
            memory += _term(tl.load(of + _MEMORY_D), d_now)
            if RAW:
                weight = tl.load(of + _MEMORY_RAW)
                memory = tl.where(weight == 0.0, memory, memory + weight * raw_now)
            newest = (remembered - 1.0).to(tl.int64)
            tl.store(ring + newest * ring_apart + own, memory, mask=inside)
