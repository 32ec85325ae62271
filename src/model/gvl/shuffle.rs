//! A shuffle that is the same on every machine and in every version of every dependency.

use crate::random::SplitMix64;

/// The numbers 0..`count` in an order that depends on `seed` alone (Fisher and Yates).
pub fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut random = SplitMix64::new(seed);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, random.below(last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

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
