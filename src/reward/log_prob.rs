/// `log softmax(logits)[token]` in nats, computed in f64 from one row of f32 logits.
///
/// `None` when `token` lies outside the row or the result is NaN (a NaN or +∞ among the logits): such a row
/// must never become a score.
pub fn log_softmax_at(logits: &[f32], token: usize) -> Option<f64> {
    let chosen = f64::from(*logits.get(token)?);
    let mut max = f64::NEG_INFINITY;
    for &logit in logits {
        if logit.is_nan() {
            return None;
        }
        max = max.max(f64::from(logit));
    }
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - max).exp()).sum();
    let log_prob = chosen - max - sum.ln();
    log_prob.is_finite().then_some(log_prob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_hand_derived_values() {
        // softmax([ln 1, ln 2, ln 5]) = [1/8, 2/8, 5/8]
        let logits = [1f32.ln(), 2f32.ln(), 5f32.ln()];
        for (token, probability) in [(0, 0.125f64), (1, 0.25), (2, 0.625)] {
            let got = log_softmax_at(&logits, token).unwrap();
            assert!((got - probability.ln()).abs() < 1e-7, "{token}: {got}");
        }
    }

    #[test]
    fn is_unmoved_by_a_shift_that_would_overflow() {
        let got = log_softmax_at(&[1e30, 1e30], 0).unwrap();
        assert!((got - 0.5f64.ln()).abs() < 1e-12);
        let far = log_softmax_at(&[0.0, 300.0], 0).unwrap();
        assert!((far + 300.0).abs() < 1e-9);
    }

    #[test]
    fn no_number_is_no_score() {
        assert_eq!(log_softmax_at(&[0.0, f32::NAN], 0), None);
        assert_eq!(log_softmax_at(&[0.0, f32::INFINITY], 0), None);
        assert_eq!(log_softmax_at(&[0.0, f32::NEG_INFINITY], 1), None);
        assert_eq!(log_softmax_at(&[0.0], 3), None);
        assert_eq!(log_softmax_at(&[], 0), None);
    }
}
