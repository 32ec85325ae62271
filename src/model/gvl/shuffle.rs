//! A shuffle that is the same on every machine and in every version of every dependency.

/// The numbers 0..`count` in an order that depends on `seed` alone (Fisher and Yates).
pub fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut random = SplitMix64 { state: seed };
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, random.below(last + 1));
    }
    order
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014), with Vigna's constants.
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in 0..`bound`. Its bias is below `bound` / 2⁶⁴.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        let mut random = SplitMix64 { state: 1_234_567 };
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next(), random.next(), random.next()], expected);
    }

    #[test]
    fn every_number_is_there_once_and_the_seed_decides() {
        for count in [0, 1, 2, 15, 100] {
            let order = shuffled(count, 7);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            assert_eq!(order, shuffled(count, 7));
        }
        assert_ne!(shuffled(15, 7), shuffled(15, 8));
        assert_ne!(shuffled(15, 0), (0..15).collect::<Vec<_>>());
    }

    #[test]
    fn no_place_is_preferred() {
        let seeds = 6000;
        let mut counts = [[0u32; 4]; 4];
        for seed in 0..seeds {
            for (place, number) in shuffled(4, seed).into_iter().enumerate() {
                counts[place][number] += 1;
            }
        }
        // Expected 1500 each; the standard deviation of one is 34.
        for count in counts.into_iter().flatten() {
            assert!((1330..=1670).contains(&count), "{counts:?}");
        }
    }
}
