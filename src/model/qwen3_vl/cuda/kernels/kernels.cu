// The kernels by name, each for all its types: NAME_f32, NAME_bf16, NAME_f16.
#include "heads.cuh"
#include "pixels.cuh"
#include "rows.cuh"
#include "tiles.cuh"

#define KERNEL extern "C" __global__ void

#define OF_TYPE(NAME, T)                                                                                               \
    KERNEL rms_norm_##NAME(float *hidden, const float *delta, const float *added, const float *weight, const float *bias,  \
                           T *out, int width, float eps) {                                                             \
        norm<T, false>(hidden, delta, added, weight, bias, out, width, eps);                                           \
    }                                                                                                                  \
    KERNEL layer_norm_##NAME(float *hidden, const float *delta, const float *added, const float *weight,                   \
                             const float *bias, T *out, int width, float eps) {                                        \
        norm<T, true>(hidden, delta, added, weight, bias, out, width, eps);                                            \
    }                                                                                                                  \
    KERNEL gelu_tanh_##NAME(T *x, const float *bias, int width) { gelu<T, false>(x, bias, width); }                    \
    KERNEL gelu_erf_##NAME(T *x, const float *bias, int width) { gelu<T, true>(x, bias, width); }                      \
    KERNEL swiglu_##NAME(const T *both, T *out, int width) { swiglu(both, out, width); }                               \
    KERNEL embed_##NAME(const T *table, const uint32_t *ids, float *out, int width) { embed(table, ids, out, width); } \
    KERNEL round_##NAME(const float *x, T *out, int width) { round_to(x, out, width); }                                \
    KERNEL prepare_heads_##NAME(const Heads a) { prepare_heads<T>(a); }                                                \
    KERNEL __launch_bounds__(128) attend_simply_##NAME(const Attention a) { attend_simply<T>(a); }                     \
    KERNEL join_##NAME(const Attention a) { join<T>(a); }

#define BY_TILES(NAME, T, WIDE, WARPS)                                                                                 \
    KERNEL __launch_bounds__(32 * WARPS) attend_##NAME##_##WIDE##_##WARPS(const Attention a) {                         \
        attend_by_tiles<T, WIDE, WARPS, 1>(a);                                                                         \
    }

// Two blocks of them are to have room on a multiprocessor.
#define BY_TALL_TILES(NAME, T)                                                                                         \
    KERNEL __launch_bounds__(128, 2) attend_tall_##NAME(const Attention a) { attend_by_tiles<T, 128, 4, 2>(a); }

#define OF_WIDTH(NAME, T, WIDE)                                                                                        \
    BY_TILES(NAME, T, WIDE, 4)                                                                                         \
    BY_TILES(NAME, T, WIDE, 8)

#define OF_HALF_TYPE(NAME, T)                                                                                          \
    OF_WIDTH(NAME, T, 16)                                                                                              \
    OF_WIDTH(NAME, T, 32)                                                                                              \
    OF_WIDTH(NAME, T, 64)                                                                                              \
    OF_WIDTH(NAME, T, 80)                                                                                              \
    OF_WIDTH(NAME, T, 128)

OF_TYPE(f32, float)
OF_TYPE(bf16, __nv_bfloat16)
OF_TYPE(f16, __half)
OF_HALF_TYPE(bf16, __nv_bfloat16)
OF_HALF_TYPE(f16, __half)
BY_TALL_TILES(bf16, __nv_bfloat16)
BY_TALL_TILES(f16, __half)

KERNEL cut_patches_f32(const Pixels a) { cut_patches(a); }

KERNEL add_f32(float *hidden, const float *delta, const float *bias, int width) { add(hidden, delta, bias, width); }

KERNEL sum_of_exponentials_f32(const float *logits, int count, double *out, int one, int other) {
    sum_of_exponentials(logits, count, out, one, other);
}
