// Everything that a step does to x but the network, as functions on plain pointers.
//
// CuPy puts them before its own loop over items. An item is the four elements of a sample that one
// block of Philox makes the noise of; a sample's last item may have fewer. T is the type of the
// arrays; everything is computed in the type of Real<T>, and rounded once. The enumeration `Column`
// of what the table holds is written in front of this file by `source.py`.

namespace schedalg {

typedef long long Index;
typedef unsigned long long Word;

template <typename T> struct Real { typedef float type; };
template <> struct Real<double> { typedef double type; };

template <typename T> struct alignas(4 * sizeof(T)) Four { T of[4]; };

// Whether four elements can be taken at once.
template <typename T>
__device__ bool whole(const T* place, int n)
{
    return n == 4 && reinterpret_cast<Word>(place) % sizeof(Four<T>) == 0;
}

// Read n elements, at most four.
template <typename T, typename R>
__device__ void load(const T* from, int n, R* to)
{
    if (whole(from, n)) {
        const Four<T> all = *reinterpret_cast<const Four<T>*>(from);
        for (int e = 0; e < 4; ++e) to[e] = static_cast<R>(all.of[e]);
    } else {
        for (int e = 0; e < 4; ++e) to[e] = e < n ? static_cast<R>(from[e]) : R(0);
    }
}

// Write weight times n elements, at most four.
template <typename T, typename R>
__device__ void store(T* to, int n, R weight, const R* from)
{
    if (whole(to, n)) {
        Four<T> all;
        for (int e = 0; e < 4; ++e) all.of[e] = static_cast<T>(weight * from[e]);
        *reinterpret_cast<Four<T>*>(to) = all;
    } else {
        for (int e = 0; e < n; ++e) to[e] = static_cast<T>(weight * from[e]);
    }
}

// What is multiplied by 0 is left out, be it infinite.
template <typename R>
__device__ R term(R weight, R value)
{
    return weight == R(0) ? R(0) : weight * value;
}

__device__ inline void sine_and_cosine_of_pi(float x, float* sine, float* cosine)
{
    sincospif(x, sine, cosine);
}

__device__ inline void sine_and_cosine_of_pi(double x, double* sine, double* cosine)
{
    sincospi(x, sine, cosine);
}

// The four words of Philox4x64-10 for the counter (block, level, visit, domain).
__device__ inline void philox(Word block, const Word* draw, Word domain, const Word* key, Word* words)
{
    Word c0 = block, c1 = draw[0], c2 = draw[1], c3 = domain, k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
        const Word m0 = 0xD2E7470EE14C6C93ull, m1 = 0xCA5A826395121157ull;
        const Word high0 = __umul64hi(m0, c0), low0 = m0 * c0;
        const Word high1 = __umul64hi(m1, c2), low1 = m1 * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B97F4A7C15ull;
        k1 += 0xBB67AE8584CAA73Bull;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

// The two normals of two words, by Box and Muller.
template <typename R>
__device__ void pair(Word word, Word other, R* z)
{
    // u and 1 - u, each to the last digit that R has: float cannot hold a u close to 1.
    const R unit = R(1.0 / 9007199254740992.0);  // 2^-53
    const R u = (static_cast<R>(word >> 11) + R(0.5)) * unit;
    const R rest = (static_cast<R>(~word >> 11) + R(0.5)) * unit;
    const R radius = sqrt(R(-2) * (rest < R(0.5) ? log1p(-rest) : log(u)));
    const R half_turns = static_cast<R>(static_cast<Index>(other)) * R(1.0 / 9223372036854775808.0);
    R sine, cosine;
    sine_and_cosine_of_pi(half_turns, &sine, &cosine);
    z[0] = radius * cosine;
    z[1] = radius * sine;
}

// The noise of elements 4 block to 4 block + 3 of a sample.
template <typename R>
__device__ void normal_of(Index block, const Word* draw, Word domain, const Word* key, R* z)
{
    Word words[4];
    philox(static_cast<Word>(block) + 1, draw, domain, key, words);
    pair(words[0], words[1], z);
    pair(words[2], words[3], z + 2);
}

// Where an item lies.
struct Place {
    Index sample, block, start, at;
    int n;

    __device__ Place(Index item, Index count)
    {
        const Index blocks = (count + 3) / 4;
        sample = item / blocks;
        block = item % blocks;
        start = 4 * block;
        at = sample * count + start;
        n = count - start < 4 ? static_cast<int>(count - start) : 4;
    }
};

// Write the noise of a draw, whose three words are level, visit and domain.
template <typename T>
__device__ void normal(Index item, const Word* keys, const Word* words, Index count, T* after)
{
    typedef typename Real<T>::type R;
    const Place place(item, count);
    R z[4];
    normal_of(place.block, words, words[2], keys + 2 * place.sample, z);
    store(after + place.at, place.n, R(1), z);
}

// Take an item through one row of the table; see `rows.Row`. With `each`, `row_at` holds for each
// sample its row, and its place in x, the memories and the keys.
template <typename T>
__device__ void step(
    Index item, const T* x, const T* d, const T* output, const T* variance, const T* noise,
    const Word* keys, const Word* draws, const typename Real<T>::type* table,
    const Index* row_at, bool each, Index one_row, Index count, Index size, Index d_apart,
    Index output_apart, Index variance_apart, Index depth, bool clipped, bool unbounded, bool keyed,
    bool learned, bool scaled, T* after, T* model_input, T* ring)
{
    typedef typename Real<T>::type R;
    const Place place(item, count);
    const int n = place.n;
    const Index row = each ? row_at[2 * place.sample] : one_row;
    const Index held = each ? row_at[2 * place.sample + 1] : place.sample;
    const Index own = held * count + place.start;  // of what is held; place.at of what is handed over
    const R* of = table + row * (COLUMNS + depth);
    R x_now[4], d_now[4], raw_now[4], total[4];
    load(x + own, n, x_now);
    load(d + place.sample * d_apart + place.start, n, d_now);
    if (unbounded) load(output + place.sample * output_apart + place.start, n, raw_now);
    if (clipped) {
        const R low = of[LOW], high = of[HIGH];
        for (int e = 0; e < 4; ++e) {
            const R x0 = term(of[C_X], x_now[e]) + term(of[C_OUT], d_now[e]);
            d_now[e] = x0 < low ? low : x0 > high ? high : x0;  // NaN stays NaN
        }
    }
    for (int e = 0; e < 4; ++e) total[e] = term(of[X], x_now[e]) + term(of[D], d_now[e]);
    if (unbounded && of[RAW] != R(0)) {  // no 0 is added, which has a sign
        for (int e = 0; e < 4; ++e) total[e] += of[RAW] * raw_now[e];
    }
    for (Index slot = 0; slot < depth; ++slot) {
        const R weight = of[COLUMNS + slot];
        if (weight != R(0)) {
            R memory[4];
            load(ring + slot * size + own, n, memory);
            for (int e = 0; e < 4; ++e) total[e] += weight * memory[e];
        }
    }
    if (of[NOISE] != R(0)) {
        R z[4];
        if (keyed) {
            normal_of(place.block, draws + 2 * row, Word(0), keys + 2 * held, z);
        } else {
            load(noise + place.at, n, z);
        }
        if (learned) {
            R v[4];
            load(variance + place.sample * variance_apart + place.start, n, v);
            for (int e = 0; e < 4; ++e) z[e] *= exp(R(0.5) * (of[MIDDLE] + term(of[HALF], v[e])));
        }
        for (int e = 0; e < 4; ++e) total[e] += of[NOISE] * z[e];
    }
    if (of[REMEMBERED] != R(0)) {
        R memory[4];
        for (int e = 0; e < 4; ++e) {
            memory[e] = term(of[MEMORY_X], x_now[e]) + term(of[MEMORY_D], d_now[e]);
            if (unbounded && of[MEMORY_RAW] != R(0)) memory[e] += of[MEMORY_RAW] * raw_now[e];
        }
        store(ring + (static_cast<Index>(of[REMEMBERED]) - 1) * size + own, n, R(1), memory);
    }
    store(after + own, n, R(1), total);
    if (scaled) {
        for (int e = 0; e < 4; ++e) total[e] = static_cast<R>(static_cast<T>(total[e]));
        store(model_input + place.at, n, of[NEXT_C_IN], total);
    }
}

}  // namespace schedalg
