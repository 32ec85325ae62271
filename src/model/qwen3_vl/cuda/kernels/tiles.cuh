// Attention on the matrix units (sm_80 and newer): 16 or 32 query rows a warp, tiles of KEYS keys in shared memory.
#pragma once

#include "attention.cuh"

constexpr int KEYS = 64;

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define MATRIX_UNITS 1
#endif

template <typename T> __device__ inline uint32_t pair(float low, float high);
template <> __device__ inline uint32_t pair<__nv_bfloat16>(float low, float high) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&both);
}
template <> __device__ inline uint32_t pair<__half>(float low, float high) {
    const __half2 both = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&both);
}

#ifdef MATRIX_UNITS
#define PRODUCT(TYPE)                                                                                                  \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." TYPE "." TYPE ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "  \
                 "{%0,%1,%2,%3};"                                                                                      \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))

// c (16, 8) += a (16, 16) · b (16, 8)
template <typename T> __device__ inline void multiply(float *c, const uint32_t *a, uint32_t b0, uint32_t b1);
template <> __device__ inline void multiply<__nv_bfloat16>(float *c, const uint32_t *a, uint32_t b0, uint32_t b1) {
    PRODUCT("bf16");
}
template <> __device__ inline void multiply<__half>(float *c, const uint32_t *a, uint32_t b0, uint32_t b1) {
    PRODUCT("f16");
}

// Four matrices (8, 8); `row` is one of this lane's.
template <bool TURNED> __device__ inline void load_matrices(uint32_t *to, const void *row) {
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    if (TURNED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(at));
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(at));
    }
}

// 16 bytes on their way to shared memory, or zeros.
__device__ inline void fetch(void *to, const void *from, bool there) {
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(there ? 16 : 0));
}
__device__ inline void fetched_together() { asm volatile("cp.async.commit_group;"); }
template <int STILL> __device__ inline void wait_for_fetches() { asm volatile("cp.async.wait_group %0;" ::"n"(STILL)); }

// 2^x; what is smaller than any normal number is 0.
__device__ inline float power_of_two(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}

// WIDE is head_dim, padded to a multiple of 16 with zeros. A warp has HIGH tiles of 16 query rows: with two of them what
// it reads of keys and values serves twice the rows, and its queries stay in shared memory for want of registers.
template <typename T, int WIDE, int WARPS, int HIGH> struct Tiles {
    // Eight numbers more than a row has, so that the rows of a matrix lie in different banks.
    static constexpr int STRIDE = WIDE + 8, STEPS = WIDE / 16, PARTS = WIDE / 8, ROWS = 16 * HIGH * WARPS;
    static constexpr bool QUERIES_HELD = HIGH == 1;

    const Attention &a;
    T *const keys, *const values, *const queries;
    const int warp, lane, first_row;
    uint32_t query[QUERIES_HELD ? STEPS : 1][4];
    float mixed[HIGH][2 * STEPS][4];
    float highest[HIGH][2], sum[HIGH][2];

    __device__ Tiles(const Attention &a, T *memory)
        : a(a), keys(memory), values(memory + 2 * KEYS * STRIDE), queries(memory + 4 * KEYS * STRIDE),
          warp(threadIdx.x / 32), lane(threadIdx.x % 32), first_row(blockIdx.x * ROWS + threadIdx.x / 32 * 16 * HIGH) {}

    // The grouped row of this thread's upper or lower half of a tile.
    __device__ Place place(int tile, int half) const { return Place(a, first_row + 16 * tile + lane / 4 + 8 * half); }

    __device__ static const T *query_row(const Attention &a, const Place &p) {
        return (const T *)a.query + (size_t)p.row * a.query_row + (size_t)p.head * a.query_head;
    }

    __device__ void begin() {
#pragma unroll
        for (int tile = 0; tile < HIGH; tile++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const Place p = place(tile, half);
                highest[tile][half] = -INFINITY, sum[tile][half] = 0.0f;
                if (QUERIES_HELD) hold_query(p, half);
            }
#pragma unroll
            for (int n = 0; n < 2 * STEPS; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) mixed[tile][n][i] = 0.0f;
            }
        }
        if (!QUERIES_HELD) bring_queries();
    }

    __device__ void hold_query(const Place &p, int half) {
        const T *row = query_row(a, p);
#pragma unroll
        for (int step = 0; step < (QUERIES_HELD ? STEPS : 1); step++) {
#pragma unroll
            for (int part = 0; part < 2; part++) {
                const int column = 16 * step + 8 * part + 2 * (lane % 4);
                const bool there = p.there && column < a.head_dim;
                query[step][half + 2 * part] = there ? *reinterpret_cast<const uint32_t *>(row + column) : 0u;
            }
        }
    }

    // Starts to bring the queries of all warps; they are there with the first keys.
    __device__ void bring_queries() {
        for (int at = threadIdx.x; at < ROWS * PARTS; at += 32 * WARPS) {
            const int row = at / PARTS, column = at % PARTS * 8;
            const Place p(a, blockIdx.x * ROWS + row);
            const bool there = p.there && column < a.head_dim;
            fetch(queries + row * STRIDE + column, there ? query_row(a, p) + column : (const T *)a.query, there);
        }
    }

    // Starts to bring KEYS keys and values from `first` on, those behind `last` as zeros. They lie in one page.
    __device__ void bring(int stage, int first, int last) {
        const size_t begin = (size_t)blockIdx.y * a.key_head + (size_t)place_in_page(a.pages, first) * a.key_row;
        const T *from_keys = in_page<const T>(a.pages, a.keys, first) + begin;
        const T *from_values = in_page<const T>(a.pages, a.values, first) + begin;
        for (int at = threadIdx.x; at < KEYS * PARTS; at += 32 * WARPS) {
            const int row = at / PARTS, column = at % PARTS * 8;
            const bool there = first + row < last && column < a.head_dim;
            const size_t from = there ? (size_t)row * a.key_row + column : 0;
            const int to = (stage * KEYS + row) * STRIDE + column;
            fetch(keys + to, from_keys + from, there);
            fetch(values + to, from_values + from, there);
        }
        fetched_together();
    }

    __device__ void score(int stage, float (*scores)[KEYS / 8][4]) {
        const T *rows = keys + stage * KEYS * STRIDE;
        const int row = lane / 16 * 8 + lane % 8, column = lane / 8 % 2 * 8;
#pragma unroll
        for (int tile = 0; tile < HIGH; tile++) {
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) scores[tile][n][i] = 0.0f;
            }
        }
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            uint32_t loaded[HIGH][4];
            if (!QUERIES_HELD) {
#pragma unroll
                for (int tile = 0; tile < HIGH; tile++) {
                    const int mine = (warp * HIGH + tile) * 16 + lane % 16;
                    load_matrices<false>(loaded[tile], queries + mine * STRIDE + 16 * step + lane / 16 * 8);
                }
            }
#pragma unroll
            for (int n = 0; n < KEYS / 8; n += 2) {
                uint32_t b[4];
                load_matrices<false>(b, rows + (8 * n + row) * STRIDE + 16 * step + column);
#pragma unroll
                for (int tile = 0; tile < HIGH; tile++) {
                    const uint32_t *q = QUERIES_HELD ? query[QUERIES_HELD ? step : 0] : loaded[tile];
                    multiply<T>(scores[tile][n], q, b[0], b[1]);
                    multiply<T>(scores[tile][n + 1], q, b[2], b[3]);
                }
            }
        }
    }

    __device__ void hide(int first, int last, float (*scores)[KEYS / 8][4]) {
#pragma unroll
        for (int tile = 0; tile < HIGH; tile++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const Place p = place(tile, half);
                const int seen = min(p.there ? visible(a, p.row) : 0, last) - first - 2 * (lane % 4);
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        if (8 * n + i >= seen) scores[tile][n][2 * half + i] = -INFINITY;
                    }
                }
            }
        }
    }

    // Scores become weights; what was found so far shrinks to the new highest score, where there is one.
    __device__ void weigh(int tile, float (*scores)[4]) {
        float before[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float most = -INFINITY;
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
                most = fmaxf(most, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
            }
            most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
            most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
            most = fmaxf(highest[tile][half], a.scale * most);
            const float base = most == -INFINITY ? 0.0f : most;
            before[half] = power_of_two(highest[tile][half] - base);
            highest[tile][half] = most;
            float added = 0.0f;
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    scores[n][i] = power_of_two(fmaf(scores[n][i], a.scale, -base));
                    added += scores[n][i];
                }
            }
            sum[tile][half] = sum[tile][half] * before[half] + added;
        }
        if (!__any_sync(~0u, before[0] != 1.0f || before[1] != 1.0f)) return;
#pragma unroll
        for (int n = 0; n < 2 * STEPS; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) mixed[tile][n][i] *= before[i / 2];
        }
    }

    __device__ void mix(int stage, float (*weights)[KEYS / 8][4]) {
        const T *rows = values + stage * KEYS * STRIDE;
        const int row = lane % 16, column = lane / 16 * 8;
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++) {
            uint32_t p[HIGH][4];
#pragma unroll
            for (int tile = 0; tile < HIGH; tile++) {
                const float *left = weights[tile][2 * k], *right = weights[tile][2 * k + 1];
                p[tile][0] = pair<T>(left[0], left[1]), p[tile][1] = pair<T>(left[2], left[3]);
                p[tile][2] = pair<T>(right[0], right[1]), p[tile][3] = pair<T>(right[2], right[3]);
            }
#pragma unroll
            for (int step = 0; step < STEPS; step++) {
                uint32_t b[4];
                load_matrices<true>(b, rows + (16 * k + row) * STRIDE + 16 * step + column);
#pragma unroll
                for (int tile = 0; tile < HIGH; tile++) {
                    multiply<T>(mixed[tile][2 * step], p[tile], b[0], b[1]);
                    multiply<T>(mixed[tile][2 * step + 1], p[tile], b[2], b[3]);
                }
            }
        }
    }

    __device__ void write(int tile) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float all = sum[tile][half];
            all += __shfl_xor_sync(~0u, all, 1);
            all += __shfl_xor_sync(~0u, all, 2);
            const Place p = place(tile, half);
            if (!p.there) continue;
            const size_t found = p.index(a, blockIdx.z);
            if (a.splits > 1 && lane % 4 == 0) {
                a.scales[2 * found] = highest[tile][half], a.scales[2 * found + 1] = all;
            }
#pragma unroll
            for (int n = 0; n < 2 * STEPS; n++) {
                const int column = 8 * n + 2 * (lane % 4);
                if (column >= a.head_dim) continue;
                const float x = mixed[tile][n][2 * half], y = mixed[tile][n][2 * half + 1];
                if (a.splits > 1) {
                    *reinterpret_cast<float2 *>(a.found + found * a.head_dim + column) = make_float2(x, y);
                } else {
                    T *out = (T *)a.out + p.index(a) * a.head_dim + column;
                    *reinterpret_cast<uint32_t *>(out) = pair<T>(x / all, y / all);
                }
            }
        }
    }

    __device__ void run() {
        const int group = a.heads / a.shared, lowest_row = first_row / group;
        const int block_end = min((blockIdx.x + 1) * ROWS, a.rows * group);
        const int from = blockIdx.z * a.keys_per_split;
        const int end = min(from + a.keys_per_split, visible(a, (block_end - 1) / group));
        begin();
        if (from < end) bring(0, from, end);
        for (int first = from, stage = 0; first < end; first += KEYS, stage ^= 1) {
            const bool more = first + KEYS < end;
            if (more) {
                bring(stage ^ 1, first + KEYS, end);
                wait_for_fetches<1>();
            } else {
                wait_for_fetches<0>();
            }
            __syncthreads();
            float scores[HIGH][KEYS / 8][4];
            score(stage, scores);
            if (first + KEYS > min(end, visible(a, lowest_row))) hide(first, end, scores);
#pragma unroll
            for (int tile = 0; tile < HIGH; tile++) weigh(tile, scores[tile]);
            mix(stage, scores);
            __syncthreads();
        }
#pragma unroll
        for (int tile = 0; tile < HIGH; tile++) write(tile);
    }
};
#endif

template <typename T, int WIDE, int WARPS, int HIGH> __device__ void attend_by_tiles(const Attention &a) {
#ifdef MATRIX_UNITS
    extern __shared__ uint4 memory[];
    Tiles<T, WIDE, WARPS, HIGH> tiles(a, reinterpret_cast<T *>(memory));
    tiles.run();
#endif
}
