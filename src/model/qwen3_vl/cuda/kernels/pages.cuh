// Keys and values of a growing episode: pages of PAGE tokens each, anywhere in memory, so that nothing is ever copied to
// make room.
#pragma once

#include "numbers.cuh"

// Tokens of a page; a multiple of every tile. `PAGE` of `cache.rs`.
constexpr int PAGE = 256;

// What of keys or values lies in the page of a token: `part` bytes behind the page's beginning. Without pages all of them
// lie in one stretch, which begins at `part`.
template <typename T> __device__ inline T *in_page(const uint64_t *pages, const void *part, int token) {
    return (T *)(pages ? pages[token / PAGE] + (uint64_t)part : (uint64_t)part);
}

// Which row of it a token is.
__device__ inline int place_in_page(const uint64_t *pages, int token) { return pages ? token % PAGE : token; }
