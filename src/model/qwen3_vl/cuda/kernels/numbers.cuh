// The types that kernels read and write, and sums over warps and blocks. All arithmetic is in f32.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

__device__ inline float number(float x) { return x; }
__device__ inline float number(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline float number(__half x) { return __half2float(x); }

template <typename T> __device__ inline T rounded(float x);
template <> __device__ inline float rounded<float>(float x) { return x; }
template <> __device__ inline __nv_bfloat16 rounded<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }
template <> __device__ inline __half rounded<__half>(float x) { return __float2half_rn(x); }

// Four numbers that are read and written at once.
template <typename T> struct alignas(4 * sizeof(T)) Four {
    T of[4];
};

template <typename T> __device__ inline float4 load4(const T *from) {
    const Four<T> four = *reinterpret_cast<const Four<T> *>(from);
    return make_float4(number(four.of[0]), number(four.of[1]), number(four.of[2]), number(four.of[3]));
}

template <typename T> __device__ inline void store4(T *to, float4 x) {
    Four<T> four;
    four.of[0] = rounded<T>(x.x), four.of[1] = rounded<T>(x.y);
    four.of[2] = rounded<T>(x.z), four.of[3] = rounded<T>(x.w);
    *reinterpret_cast<Four<T> *>(to) = four;
}

__device__ inline float4 operator+(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

__device__ inline float warp_sum(float x) {
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
    return x;
}

// Over a block of whole warps; every thread gets the sum.
__device__ inline float block_sum(float x) {
    __shared__ float of_warps[32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    x = warp_sum(x);
    __syncthreads();
    if (lane == 0) of_warps[warp] = x;
    __syncthreads();
    return warp_sum(lane < warps ? of_warps[lane] : 0.0f);
}
