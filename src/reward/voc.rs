/// Value-order correlation: Spearman's rank correlation of `values` with their order in time, from −1 to 1
/// (TOPReward, arXiv 2602.19313, evaluation; tied values share their mean rank).
///
/// `None` for fewer than two values, a constant curve or a value that is no number: there the measure is undefined.
pub fn voc(values: &[f64]) -> Option<f64> {
    if values.len() < 2 || values.iter().any(|v| v.is_nan()) {
        return None;
    }
    let ranks = mean_ranks(values);
    let mean = (values.len() as f64 - 1.0) / 2.0;
    let (mut covariance, mut rank_variance, mut time_variance) = (0.0, 0.0, 0.0);
    for (time, rank) in ranks.iter().enumerate() {
        let (dt, dr) = (time as f64 - mean, rank - mean);
        covariance += dt * dr;
        rank_variance += dr * dr;
        time_variance += dt * dt;
    }
    (rank_variance > 0.0).then(|| covariance / (rank_variance * time_variance).sqrt())
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
    fn is_undefined_where_there_is_no_order() {
        assert_eq!(voc(&[]), None);
        assert_eq!(voc(&[1.0]), None);
        assert_eq!(voc(&[2.0, 2.0, 2.0]), None);
        assert_eq!(voc(&[0.0, 0.0, -0.0]), None);
        assert_eq!(voc(&[1.0, f64::NAN]), None);
    }
}
