// From the bytes of two frames to what the vision tower takes.
#pragma once

#include "numbers.cuh"

// Kinds of colour, and frames of a pair.
constexpr int CHANNELS = 3, FRAMES = 2;

struct Pixels {
    // The normalised value of every byte, (CHANNELS, 256) f32; behind it the frames, (FRAMES, height, width, CHANNELS).
    const uint8_t *bytes;
    // (patches, CHANNELS * FRAMES * side * side)
    float *out;
    // Of a frame; of a patch; patches along a side of a visual token.
    int height, width, side, merge;
};

// One block a patch; patches stand in the order of the visual tokens that they belong to.
__device__ inline void cut_patches(const Pixels &a) {
    const float *normalised = (const float *)a.bytes;
    const uint8_t *frames = a.bytes + CHANNELS * 256 * sizeof(float);
    const int tokens_wide = a.width / (a.side * a.merge), area = a.side * a.side, numbers = CHANNELS * FRAMES * area;
    const int token = blockIdx.x / (a.merge * a.merge), inner = blockIdx.x % (a.merge * a.merge);
    const int top = (token / tokens_wide * a.merge + inner / a.merge) * a.side;
    const int left = (token % tokens_wide * a.merge + inner % a.merge) * a.side;
    for (int at = threadIdx.x; at < numbers; at += blockDim.x) {
        const int channel = at / (FRAMES * area), frame = at / area % FRAMES;
        const int row = top + at % area / a.side, column = left + at % a.side;
        const uint8_t byte = frames[(((size_t)frame * a.height + row) * a.width + column) * CHANNELS + channel];
        a.out[(size_t)blockIdx.x * numbers + at] = normalised[channel * 256 + byte];
    }
}
