use serde::{Deserialize, Serialize};

/// How the log-probabilities of several cameras become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// The probability whose log-odds are the mean of the cameras' log-odds.
    Mean,
    /// The least convinced camera's.
    Min,
    /// The most convinced camera's.
    Max,
}

/// f32 logits cannot tell a probability nearer to 1 than this from 1, where the log-odds would be infinite and
/// outvote every other camera.
const NEAREST_TO_ONE: f64 = 1.0 / (1 << 24) as f64;

impl Fusion {
    /// One pair (`log p(" True")`, `log p(" False")`), nats, of the cameras' pairs. One camera's pair is itself, to the
    /// last bit. `None` without cameras, or when a value is no log-probability.
    pub fn fuse(self, cameras: &[(f64, f64)]) -> Option<(f64, f64)> {
        if cameras.iter().any(|&(yes, no)| !(yes <= 0.0 && no <= 0.0)) {
            return None;
        }
        if let [one] = cameras {
            return Some(*one);
        }
        let by_reward = |a: &&(f64, f64), b: &&(f64, f64)| a.0.total_cmp(&b.0);
        match self {
            Self::Min => cameras.iter().min_by(by_reward).copied(),
            Self::Max => cameras.iter().max_by(by_reward).copied(),
            Self::Mean if cameras.is_empty() => None,
            Self::Mean => {
                Some((mean(cameras.iter().map(|pair| pair.0)), mean(cameras.iter().map(|pair| pair.1))))
            }
        }
    }
}

fn mean(log_probs: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = log_probs.len() as f64;
    let mean = log_probs.map(log_odds).sum::<f64>() / count;
    // log(1 / (1 + e^-x)), without overflow for odds against.
    if mean >= 0.0 { -(-mean).exp().ln_1p() } else { mean - mean.exp().ln_1p() }
}

/// log(p / (1 - p)) of log p.
fn log_odds(log_prob: f64) -> f64 {
    let log_prob = log_prob.min(-NEAREST_TO_ONE);
    log_prob - (-log_prob.exp_m1()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<(f64, f64)>, expected: (f64, f64)) {
        let found = found.unwrap();
        assert!((found.0 - expected.0).abs() < 1e-9 && (found.1 - expected.1).abs() < 1e-9, "{found:?}");
    }

    fn p(yes: f64, no: f64) -> (f64, f64) {
        (yes.ln(), no.ln())
    }

    #[test]
    fn one_camera_is_itself() {
        for fusion in [Fusion::Mean, Fusion::Min, Fusion::Max] {
            assert_eq!(fusion.fuse(&[(-0.123, -7.5)]), Some((-0.123, -7.5)));
        }
    }

    #[test]
    fn the_mean_is_of_log_odds() {
        // Odds 4 and 1/4 give 1; odds 9 and 1 give 3.
        close(Fusion::Mean.fuse(&[p(0.8, 0.2), p(0.2, 0.8)]), p(0.5, 0.5));
        close(Fusion::Mean.fuse(&[p(0.9, 0.1), p(0.5, 0.5)]), p(0.75, 0.25));
        // Where both are improbable it is nearly the mean of the logarithms.
        let (fused, _) = Fusion::Mean.fuse(&[(-20.0, -0.1), (-30.0, -0.1)]).unwrap();
        assert!((fused + 25.0).abs() < 1e-6, "{fused}");
    }

    #[test]
    fn certainty_stays_finite() {
        let (fused, _) = Fusion::Mean.fuse(&[(0.0, -20.0), (-40.0, 0.0)]).unwrap();
        // ln(2^24) = 16.64 against -40: their mean is -11.68.
        assert!((fused + 11.68).abs() < 0.01, "{fused}");
    }

    #[test]
    fn min_and_max_take_one_cameras_pair() {
        let cameras = [(-3.0, -0.5), (-1.0, -0.7), (-2.0, -0.1)];
        assert_eq!(Fusion::Min.fuse(&cameras), Some((-3.0, -0.5)));
        assert_eq!(Fusion::Max.fuse(&cameras), Some((-1.0, -0.7)));
    }

    #[test]
    fn what_is_no_log_probability_is_not_fused() {
        for wrong in [f64::NAN, 0.5] {
            assert_eq!(Fusion::Max.fuse(&[(-1.0, -1.0), (wrong, -1.0)]), None);
            assert_eq!(Fusion::Mean.fuse(&[(-1.0, wrong)]), None);
        }
        assert_eq!(Fusion::Mean.fuse(&[]), None);
    }
}
