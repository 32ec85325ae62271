//! What one episode's curves say.

use serde::Serialize;

use crate::offline::uncontrolled;
use crate::reward::{BiasControl, Reading, SuccessSettings, end_score, first_success, peak_score, voc};

/// All curves of one episode, over the same prefixes.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// With their controls, where these can be taken out of the rewards.
    pub episode: Vec<Reading>,
    /// The first frame repeated, where that was scored; as long as the episode's curve, or longer.
    pub still: Option<Vec<Reading>>,
    /// The same frames under an instruction that was not carried out.
    pub wrong: Option<Vec<Reading>>,
}

/// The curve as it is judged under this setting of the control.
pub fn judged_curve(curve: &[Reading], control: BiasControl) -> Vec<Reading> {
    match control {
        BiasControl::Off => uncontrolled(curve),
        BiasControl::Static => curve.to_vec(),
    }
}

/// What the judged rewards of one curve say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurveMeasures {
    /// Undefined for a constant curve or fewer than two points.
    pub voc: Option<f64>,
    /// Last reward less the first, nats.
    pub climb_nats: f64,
    pub last_nats: f64,
    /// The success score: [`end_score`].
    pub end_nats: Option<f64>,
    /// [`peak_score`].
    pub peak_nats: Option<f64>,
    /// When success would be called, seconds since the first frame.
    pub called_at_s: Option<f64>,
}

impl CurveMeasures {
    /// `None` for an empty curve.
    pub fn of(curve: &[Reading], settings: SuccessSettings) -> Option<Self> {
        let rewards: Vec<f64> = curve.iter().map(Reading::judged).collect();
        let (first, last) = (rewards.first()?, *rewards.last()?);
        Some(Self {
            voc: voc(&rewards),
            climb_nats: last - first,
            last_nats: last,
            end_nats: end_score(curve, settings),
            peak_nats: peak_score(curve, settings),
            called_at_s: first_success(curve, settings).map(|place| curve[place].time_s),
        })
    }
}

/// What one episode says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpisodeMeasures {
    pub reward: CurveMeasures,
    /// With the control's climb taken out.
    pub corrected: CurveMeasures,
    /// Of the first frame repeated, where that was scored.
    #[serde(rename = "static")]
    pub control: Option<CurveMeasures>,
    /// Under an instruction that was not carried out.
    pub wrong: Option<CurveMeasures>,
    pub wrong_corrected: Option<CurveMeasures>,
}

impl EpisodeMeasures {
    /// `None` for an empty curve.
    pub fn of(curves: &Curves, settings: SuccessSettings) -> Option<Self> {
        let corrected = |curve: &[Reading]| CurveMeasures::of(curve, settings);
        let plain = |curve: &[Reading]| corrected(&uncontrolled(curve));
        Some(Self {
            reward: plain(&curves.episode)?,
            corrected: corrected(&curves.episode)?,
            control: curves.still.as_deref().and_then(plain),
            wrong: curves.wrong.as_deref().and_then(plain),
            wrong_corrected: curves.wrong.as_deref().and_then(corrected),
        })
    }

    /// Those of the curve that success is judged by.
    pub fn judged_by(&self, control: BiasControl) -> &CurveMeasures {
        match control {
            BiasControl::Off => &self.reward,
            BiasControl::Static => &self.corrected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::still_curve;
    use crate::reward::{Control, half_second_curve};

    /// A curve with a control that was given these rewards.
    fn controlled(rewards: &[f64], control: &[f64]) -> Vec<Reading> {
        let with = |(reading, &now): (Reading, &f64)| {
            let control = Control { first: control[0], log_prob_true: now, log_prob_false: -1.0 };
            let Reading { frames, time_s, change, .. } = reading;
            Reading { frames, time_s, change, ..Reading::of(reading.log_prob_true, -1.0, Some(control)) }
        };
        half_second_curve(rewards, 9.0).into_iter().zip(control).map(with).collect()
    }

    const SETTINGS: SuccessSettings =
        SuccessSettings { hold_s: 0.5, min_frames: 3, ..SuccessSettings::unguarded(-1.0, 2) };

    #[test]
    fn an_episode_is_measured_with_and_without_its_control() {
        let episode = controlled(&[-4.0, -2.0, -1.0, 0.0], &[-4.0, -3.0, -3.0, -3.0]);
        let curves = Curves {
            still: Some(still_curve(&episode)),
            wrong: Some(controlled(&[-5.0, -5.0, -4.0, -6.0], &[-5.0; 4])),
            episode,
        };
        let found = EpisodeMeasures::of(&curves, SETTINGS).unwrap();
        assert_eq!(
            (found.reward.climb_nats, found.reward.end_nats, found.reward.voc),
            (4.0, Some(-0.5), Some(1.0))
        );
        assert_eq!((found.corrected.climb_nats, found.corrected.end_nats), (3.0, Some(-1.5)));
        assert_eq!(found.control.unwrap().climb_nats, 1.0);
        assert_eq!(found.wrong.unwrap().end_nats, Some(-5.0));
        assert_eq!(found.wrong_corrected.unwrap().end_nats, Some(-5.0));
        // Means -3, -1.5, -0.5: never above -1 for half a second.
        assert_eq!(found.reward.called_at_s, None);
        let apart = Curves { episode: uncontrolled(&curves.episode), ..curves };
        let found = EpisodeMeasures::of(&apart, SETTINGS).unwrap();
        assert_eq!((found.corrected.climb_nats, found.control.unwrap().climb_nats), (4.0, 1.0));
        let constant = Curves { episode: half_second_curve(&[-1.0; 3], 9.0), still: None, wrong: None };
        assert_eq!(EpisodeMeasures::of(&constant, SETTINGS).unwrap().reward.voc, None);
        let empty = Curves { episode: Vec::new(), still: None, wrong: None };
        assert_eq!(EpisodeMeasures::of(&empty, SETTINGS), None);
    }
}
