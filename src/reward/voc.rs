/// Value-order correlation: Spearman's rank correlation of `values` with their order in time, from −1 to 1
/// (TOPReward, arXiv 2602.19313, evaluation; tied values share their mean rank).
///
/// `None` for fewer than two values, a constant curve or a NaN: there the measure is undefined.
pub fn voc(values: &[f64]) -> Option<f64> {
    let times: Vec<f64> = (0..values.len()).map(|time| time as f64).collect();
    spearman(values, &times)
}

/// Spearman's rank correlation, from −1 to 1; tied values share their mean rank.
///
/// `None` for fewer than two pairs, where one side is constant, or where a value is NaN.
pub fn spearman(values: &[f64], others: &[f64]) -> Option<f64> {
    let pairs = values.len();
    if pairs < 2 || others.len() != pairs || values.iter().chain(others).any(|v| v.is_nan()) {
        return None;
    }
    let mean = (pairs as f64 - 1.0) / 2.0;
    let (mut covariance, mut variance, mut other_variance) = (0.0, 0.0, 0.0);
    for (rank, other) in mean_ranks(values).iter().zip(mean_ranks(others)) {
        let (dr, dt) = (rank - mean, other - mean);
        covariance += dt * dr;
        variance += dr * dr;
        other_variance += dt * dt;
    }
    (variance > 0.0 && other_variance > 0.0).then(|| covariance / (variance * other_variance).sqrt())
}

/// 0-based ranks; equal values share the mean of their ranks.
fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let equal = order[start..].iter().take_while(|&&i| values[i] == values[order[start]]).count();
        let shared = start as f64 + (equal as f64 - 1.0) / 2.0;
        for &i in &order[start..start + equal] {
            ranks[i] = shared;
        }
        start += equal;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(values: &[f64], expected: f64) {
        let got = voc(values).unwrap();
        assert!((got - expected).abs() < 1e-12, "{values:?}: {got} is not {expected}");
    }

    #[test]
    fn equals_hand_derived_values() {
        close(&[-4.0, -3.0, -1.0, -0.5], 1.0);
        close(&[-1.0, -2.0, -3.0], -1.0);
        // ranks 1 0 2: 1 − 6·(1 + 1 + 0) / (3·8) = 0.5
        close(&[2.0, 1.0, 3.0], 0.5);
        // ranks 0.5 0.5 2 against 0 1 2: cov 1.5, variances 1.5 and 2
        close(&[1.0, 1.0, 3.0], 1.5 / (1.5f64 * 2.0).sqrt());
    }

    #[test]
    fn only_the_order_matters() {
        let curve = [-3.0f64, -2.9, -0.1, -0.5, -0.2];
        let cubed: Vec<f64> = curve.iter().map(|v| v.powi(3) * 7.0 + 1.0).collect();
        close(&cubed, voc(&curve).unwrap());
    }

    #[test]
    fn two_orders_are_compared() {
        // ranks 0 1 2 against 2 0.5 0.5: cov −1.5, variances 2 and 1.5
        let got = spearman(&[1.0, 5.0, 6.0], &[9.0, 3.0, 3.0]).unwrap();
        assert!((got + 1.5 / (1.5f64 * 2.0).sqrt()).abs() < 1e-12, "{got}");
        assert_eq!(spearman(&[1.0, 2.0], &[4.0, 4.0]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[4.0]), None);
    }

    #[test]
    fn is_undefined_where_there_is_no_order() {
        assert_eq!(voc(&[]), None);
        assert_eq!(voc(&[1.0]), None);
        assert_eq!(voc(&[2.0, 2.0, 2.0]), None);
        assert_eq!(voc(&[0.0, 0.0, -0.0]), None);
        assert_eq!(voc(&[1.0, f64::NAN]), None);
    }
}
