// Attention whose scores never leave the chip: tiles of query rows go over tiles of keys, and the softmax is brought up to
// date with each (Milakov & Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135).
//
// The query heads that share keys are rows of one matrix: its row r is row r / group of head r % group. Where such rows are
// few and keys are many, several blocks take a stretch of the keys each, and `join` adds up what they found.
#pragma once

#include "pages.cuh"

struct Attention {
    const void *query;
    // Where keys and values lie: with pages, how many bytes behind the beginning of each.
    const uint64_t *pages;
    const void *keys, *values;
    // (rows, heads * head_dim)
    void *out;
    // What the blocks of a split found: (splits, rows, heads, head_dim), and the highest score and the sum of each.
    float *found, *scales;
    int rows, total, heads, shared, head_dim;
    // Numbers from one row, or head, to the next.
    int query_row, query_head, key_row, key_head;
    int splits, keys_per_split, causal;
    // Of a score, for powers of two.
    float scale;
};

// How many keys a row of the queries sees: it is one of the last tokens.
__device__ inline int visible(const Attention &a, int row) {
    return a.causal ? a.total - a.rows + row + 1 : a.total;
}

// Which row of which head a row of the grouped matrix is.
struct Place {
    int row, head;
    bool there;
    __device__ Place(const Attention &a, int grouped) {
        const int group = a.heads / a.shared;
        row = grouped / group;
        head = blockIdx.y * group + grouped % group;
        there = row < a.rows;
    }
    __device__ size_t index(const Attention &a) const { return (size_t)row * a.heads + head; }
    __device__ size_t index(const Attention &a, int split) const {
        return (size_t)split * a.rows * a.heads + index(a);
    }
};

// One warp per row and head, 32 keys at a time: for f32, and for cards without these matrix instructions.
template <typename T> __device__ void attend_simply(const Attention &a) {
    constexpr int MOST = 8;
    __shared__ float queries[4][32 * MOST];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, at = blockIdx.x * 4 + warp;
    if (at >= a.rows * a.heads) return;
    const int row = at / a.heads, head = at % a.heads, shared = head / (a.heads / a.shared);
    const T *query = (const T *)a.query + (size_t)row * a.query_row + (size_t)head * a.query_head;
    float *mine = queries[warp];
    for (int d = lane; d < a.head_dim; d += 32) mine[d] = number(query[d]);
    __syncwarp();
    float highest = -INFINITY, sum = 0.0f, mixed[MOST] = {};
    const int seen = visible(a, row);
    for (int first = 0; first < seen; first += 32) {
        const int count = min(32, seen - first);
        float score = 0.0f;
        const size_t begin = (size_t)shared * a.key_head + (size_t)place_in_page(a.pages, first) * a.key_row;
        const T *keys = in_page<const T>(a.pages, a.keys, first) + begin;
        const T *values = in_page<const T>(a.pages, a.values, first) + begin;
        const T *key = keys + (size_t)min(lane, count - 1) * a.key_row;
        for (int d = 0; d < a.head_dim; d++) score += mine[d] * number(key[d]);
        score = lane < count ? score * a.scale : -INFINITY;
        float most = fmaxf(highest, score);
        for (int step = 16; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, step));
        const float base = most == -INFINITY ? 0.0f : most;
        const float before = exp2f(highest - base), weight = exp2f(score - base);
        sum = sum * before + warp_sum(weight);
        highest = most;
#pragma unroll
        for (int part = 0; part < MOST; part++) mixed[part] *= before;
        for (int j = 0; j < count; j++) {
            const float w = __shfl_sync(~0u, weight, j);
            const T *value = values + (size_t)j * a.key_row;
#pragma unroll
            for (int part = 0; part < MOST; part++) {
                if (lane + 32 * part < a.head_dim) mixed[part] += w * number(value[lane + 32 * part]);
            }
        }
    }
    T *out = (T *)a.out + ((size_t)row * a.heads + head) * a.head_dim;
#pragma unroll
    for (int part = 0; part < MOST; part++) {
        if (lane + 32 * part < a.head_dim) out[lane + 32 * part] = rounded<T>(mixed[part] / sum);
    }
}

// Adds up what the blocks of a split found: one warp per row and head, four columns a lane.
template <typename T> __device__ void join(const Attention &a) {
    const int at = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    const int all = a.rows * a.heads;
    if (at >= all) return;
    float highest = -INFINITY;
    for (int split = 0; split < a.splits; split++) {
        highest = fmaxf(highest, a.scales[2 * ((size_t)split * all + at)]);
    }
    const float base = highest == -INFINITY ? 0.0f : highest;
    for (int d = 4 * lane; d < a.head_dim; d += 128) {
        float4 mixed = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        float sum = 0.0f;
#pragma unroll 4
        for (int split = 0; split < a.splits; split++) {
            const size_t found = (size_t)split * all + at;
            const float weight = exp2f(a.scales[2 * found] - base);
            const float4 part = load4(a.found + found * a.head_dim + d);
            sum += weight * a.scales[2 * found + 1];
            mixed.x += weight * part.x, mixed.y += weight * part.y;
            mixed.z += weight * part.z, mixed.w += weight * part.w;
        }
        store4((T *)a.out + (size_t)at * a.head_dim + d,
               make_float4(mixed.x / sum, mixed.y / sum, mixed.z / sum, mixed.w / sum));
    }
}
