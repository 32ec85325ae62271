// From the product with the query, key and value weights to heads that attention can read.
#pragma once

#include "pages.cuh"

// A head has at most this many numbers, times 64.
constexpr int PAIRS = 4;

struct Heads {
    // (rows, (heads + 2 * shared) * head_dim): queries, keys and values side by side. Queries are changed in place.
    void *all;
    // Added first; null: nothing.
    const float *bias;
    // Of the norms over a head; null: none.
    const float *query_norm, *key_norm;
    // (rows, head_dim / 2)
    const float *cosines, *sines;
    // Where keys and values go; without pages they stay in place.
    const uint64_t *pages;
    // Where in a page they begin, bytes: (shared, PAGE, head_dim) each.
    const void *keys, *values;
    int heads, shared, head_dim;
    // Tokens that the pages hold already.
    int committed;
    float eps;
};

// One warp per head of one row. A lane has the pairs (j, j + head_dim / 2) for j = lane, lane + 32, ...
template <typename T> __device__ void prepare_heads(const Heads &a) {
    const int row = blockIdx.x, head = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    const int all_heads = a.heads + 2 * a.shared, half = a.head_dim / 2;
    if (head >= all_heads) return;
    const bool is_query = head < a.heads, is_value = head >= a.heads + a.shared;
    T *from = (T *)a.all + ((size_t)row * all_heads + head) * a.head_dim;
    T *to = from;
    if (!is_query && a.pages) {
        const int of_kind = is_value ? head - a.heads - a.shared : head - a.heads, token = a.committed + row;
        T *store = in_page<T>(a.pages, is_value ? a.values : a.keys, token);
        to = store + ((size_t)of_kind * PAGE + place_in_page(a.pages, token)) * a.head_dim;
    }
    const float *norm = is_value ? nullptr : is_query ? a.query_norm : a.key_norm;
    float x[PAIRS], y[PAIRS], squares = 0.0f;
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
        const int at = lane + 32 * pair;
        x[pair] = y[pair] = 0.0f;
        if (at >= half) continue;
        x[pair] = number(from[at]), y[pair] = number(from[at + half]);
        if (a.bias) {
            x[pair] += a.bias[head * a.head_dim + at];
            y[pair] += a.bias[head * a.head_dim + at + half];
        }
        squares += x[pair] * x[pair] + y[pair] * y[pair];
    }
    const float scale = norm ? 1.0f / sqrtf(warp_sum(squares) / a.head_dim + a.eps) : 1.0f;
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
        const int at = lane + 32 * pair;
        if (at >= half) continue;
        float p = x[pair], q = y[pair];
        if (norm) p *= scale * norm[at], q *= scale * norm[at + half];
        if (!is_value) {
            const float c = a.cosines[(size_t)row * half + at], s = a.sines[(size_t)row * half + at];
            const float turned = p * c - q * s;
            q = p * s + q * c, p = turned;
        }
        to[at] = rounded<T>(p), to[at + half] = rounded<T>(q);
    }
}
