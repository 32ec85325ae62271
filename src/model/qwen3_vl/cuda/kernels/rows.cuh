// What happens to whole rows between the matrix products. All widths are multiples of 4.
#pragma once

#include "numbers.cuh"

// Numbers of a row that a thread of the norms holds at most: 4 times this.
constexpr int HELD = 2;

// hidden += delta + added (each may be null); out = norm(hidden). One block per row, 4 * HELD numbers a thread.
// With MEAN the mean is taken off first and `bias` added last (LayerNorm), without it is RMSNorm.
template <typename T, bool MEAN>
__device__ void norm(float *hidden, const float *delta, const float *added, const float *weight, const float *bias,
                     T *out, int width, float eps) {
    const size_t row = (size_t)blockIdx.x * width;
    float4 held[HELD];
    float sum = 0.0f;
#pragma unroll
    for (int part = 0; part < HELD; part++) {
        const int at = 4 * (threadIdx.x + part * blockDim.x);
        held[part] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (at >= width) continue;
        float4 x = load4(hidden + row + at);
        if (delta) x = x + load4(delta + row + at);
        if (added) x = x + load4(added + at);
        if (delta || added) store4(hidden + row + at, x);
        held[part] = x;
        sum += MEAN ? x.x + x.y + x.z + x.w : x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
    }
    sum = block_sum(sum);
    const float mean = MEAN ? sum / width : 0.0f;
    if (MEAN) {
        sum = 0.0f;
#pragma unroll
        for (int part = 0; part < HELD; part++) {
            if (4 * (threadIdx.x + part * blockDim.x) >= width) continue;
            const float4 x = held[part];
            const float a = x.x - mean, b = x.y - mean, c = x.z - mean, d = x.w - mean;
            sum += a * a + b * b + c * c + d * d;
        }
        sum = block_sum(sum);
    }
    const float scale = 1.0f / sqrtf(sum / width + eps);
#pragma unroll
    for (int part = 0; part < HELD; part++) {
        const int at = 4 * (threadIdx.x + part * blockDim.x);
        if (at >= width) continue;
        const float4 x = held[part], w = load4(weight + at);
        float4 y = make_float4((x.x - mean) * scale * w.x, (x.y - mean) * scale * w.y, (x.z - mean) * scale * w.z,
                               (x.w - mean) * scale * w.w);
        if (MEAN) y = y + load4(bias + at);
        store4(out + row + at, y);
    }
}

// Where a thread of the kernels below works: four columns of one row, or nothing.
__device__ inline bool four_columns(int width, size_t &row, int &column) {
    row = blockIdx.x;
    column = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
    return column < width;
}

// hidden += delta + bias; each may be null.
__device__ void add(float *hidden, const float *delta, const float *bias, int width) {
    size_t row;
    int column;
    if (!four_columns(width, row, column)) return;
    float4 x = load4(hidden + row * width + column);
    if (delta) x = x + load4(delta + row * width + column);
    if (bias) x = x + load4(bias + column);
    store4(hidden + row * width + column, x);
}

__device__ inline float gelu_tanh(float x) {
    const float u = 0.7978845608f * (x + 0.044715f * x * x * x);
    return 0.5f * x * (1.0f + tanhf(u));
}

__device__ inline float gelu_erf(float x) { return 0.5f * x * (1.0f + erff(x * 0.7071067812f)); }

// x = gelu(x + bias); bias may be null.
template <typename T, bool ERF> __device__ void gelu(T *x, const float *bias, int width) {
    size_t row;
    int column;
    if (!four_columns(width, row, column)) return;
    float4 v = load4(x + row * width + column);
    if (bias) v = v + load4(bias + column);
    const float4 y = ERF ? make_float4(gelu_erf(v.x), gelu_erf(v.y), gelu_erf(v.z), gelu_erf(v.w))
                         : make_float4(gelu_tanh(v.x), gelu_tanh(v.y), gelu_tanh(v.z), gelu_tanh(v.w));
    store4(x + row * width + column, y);
}

__device__ inline float silu(float x) { return x / (1.0f + expf(-x)); }

// `both` has rows of `width` gates and `width` factors.
template <typename T> __device__ void swiglu(const T *both, T *out, int width) {
    size_t row;
    int column;
    if (!four_columns(width, row, column)) return;
    const float4 gate = load4(both + row * 2 * width + column);
    const float4 up = load4(both + row * 2 * width + width + column);
    store4(out + row * width + column,
           make_float4(silu(gate.x) * up.x, silu(gate.y) * up.y, silu(gate.z) * up.z, silu(gate.w) * up.w));
}

// Row `ids[row]` of the table.
template <typename T> __device__ void embed(const T *table, const uint32_t *ids, float *out, int width) {
    size_t row;
    int column;
    if (!four_columns(width, row, column)) return;
    store4(out + row * width + column, load4(table + (size_t)ids[row] * width + column));
}

template <typename T> __device__ void round_to(const float *x, T *out, int width) {
    size_t row;
    int column;
    if (four_columns(width, row, column)) store4(out + row * width + column, load4(x + row * width + column));
}

// The largest of a stretch of `logits` for every block, behind these the sums of exp(logit - largest), behind those two of
// the logits.
__device__ void sum_of_exponentials(const float *logits, int count, double *out, int one, int other) {
    __shared__ float most[32];
    __shared__ double total[32];
    const int each = (count + gridDim.x - 1) / gridDim.x, first = blockIdx.x * each;
    const int last = min(count, first + each), warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float peak = -INFINITY;
    for (int at = first + threadIdx.x; at < last; at += blockDim.x) peak = fmaxf(peak, logits[at]);
    for (int step = 16; step > 0; step /= 2) peak = fmaxf(peak, __shfl_xor_sync(~0u, peak, step));
    if (lane == 0) most[warp] = peak;
    __syncthreads();
    for (int other_warp = 0; other_warp < blockDim.x / 32; other_warp++) peak = fmaxf(peak, most[other_warp]);
    const float base = peak == -INFINITY ? 0.0f : peak;
    double sum = 0.0;
    // A NaN is no largest, but the sum's undoing.
    for (int at = first + threadIdx.x; at < last; at += blockDim.x) sum += (double)expf(logits[at] - base);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
    if (lane == 0) total[warp] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int other_warp = 1; other_warp < blockDim.x / 32; other_warp++) sum += total[other_warp];
    out[blockIdx.x] = (double)peak;
    out[gridDim.x + blockIdx.x] = sum;
    if (blockIdx.x == 0) out[2 * gridDim.x] = (double)logits[one], out[2 * gridDim.x + 1] = (double)logits[other];
}
