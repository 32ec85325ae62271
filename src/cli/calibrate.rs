//! `topreward calibrate`: the success threshold for a wanted rate of false positives.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Outcome;
use super::dataset::{self, Examination};
use super::report::{check_writable, print};
use super::settings::ScoringArgs;
use crate::config::calibration_file;
use crate::model::{
    CALIBRATION_VERSION, CalibratedModel, CalibratedSuccess, Calibration, EpisodeCounts, VideoVlm,
};
use crate::offline::evaluation::{LabelledEpisode, Manifest};
use crate::reward::{
    Bootstrap, Estimate, Reading, RocPoint, SuccessSettings, Threshold, end_score, peak_score, quantile, roc,
    threshold_for,
};

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Folder with a manifest.jsonl, or the manifest itself; docs/evaluation.md has its fields.
    dataset: PathBuf,
    /// Folder of a Qwen3-VL checkpoint, or its Hugging Face id (owner/name or owner/name@revision).
    #[arg(long, value_name = "DIR|ID")]
    model: String,
    /// Largest share of the failures that may be called a success.
    #[arg(long, value_name = "RATE", default_value_t = 0.02)]
    false_positive_rate: f64,
    /// Calibration file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Let it hold for every instruction, not only for those of the data set.
    #[arg(long)]
    any_instruction: bool,
    #[command(flatten)]
    scoring: ScoringArgs,
}

/// What calibration needs of one episode.
struct Scored {
    success: bool,
    /// The success score of the whole episode, nats.
    peak_nats: f64,
    first_nats: f64,
    end_nats: f64,
}

pub fn run(args: &CalibrateArgs) -> Result<Outcome> {
    let config = args.scoring.config()?;
    let manifest = dataset::read(&args.dataset)?;
    check_labels(&manifest, args.false_positive_rate)?;
    check_writable(&args.out)?;
    let model = args.scoring.load(&args.model, &config)?;
    let examination = Examination {
        sample_fps: config.sampling.rate_hz,
        prefixes: args.scoring.prefixes(&config),
        cache: !args.scoring.no_cache,
        control: config.bias.control,
        static_samples: 0,
        wrong: false,
    };
    let settings = config.success;
    let (scored, errors) =
        dataset::for_each(&manifest, |entry| score(&model, entry, &examination, settings))?;
    let of = |success: bool| -> Vec<&Scored> { scored.iter().filter(|s| s.success == success).collect() };
    let (successes, failures) = (of(true), of(false));
    let peaks = |scored: &[&Scored]| scored.iter().map(|s| s.peak_nats).collect::<Vec<_>>();
    let scores = (peaks(&successes), peaks(&failures));
    let threshold = threshold_for(&scores.0, &scores.1, args.false_positive_rate)?;
    let median = |measure: fn(&Scored) -> f64| {
        let values: Vec<f64> = successes.iter().map(|scored| measure(scored)).collect();
        quantile(&values, 0.5).context("there is no success to learn from")
    };
    let auc = Bootstrap::default().auc(&scores.0, &scores.1).context("a score is NaN")?;
    let made_with = config.identity(model.info());
    let calibration = Calibration {
        version: CALIBRATION_VERSION,
        model: CalibratedModel { name: args.model.clone(), fingerprint: made_with.fingerprint },
        instructions: if args.any_instruction { Vec::new() } else { instructions(&manifest) },
        dtype: made_with.dtype,
        chat_template: made_with.chat_template,
        max_pixels: made_with.max_pixels,
        sampling_rate_hz: made_with.sample_fps,
        bias_control: config.bias.control,
        success: CalibratedSuccess::of(&config.success),
        date: utc_date(Timestamp::now()),
        episodes: EpisodeCounts { successes: successes.len(), failures: failures.len() },
        auc,
        wanted_false_positive_rate: args.false_positive_rate,
        threshold_nats: threshold.nats,
        first_nats: median(|scored| scored.first_nats)?,
        final_nats: median(|scored| scored.end_nats)?,
    };
    calibration_file::write(&args.out, &calibration)?;
    print(|out| write_report(out, args, &calibration, &scores, threshold))?;
    Ok(Outcome::of(&errors))
}

/// Too few labels are reported before the model is asked.
fn check_labels(manifest: &Manifest, wanted: f64) -> Result<()> {
    let of = |success: bool| manifest.entries.iter().filter(move |entry| entry.success == success).count();
    // Stands in for the scores: successes above failures, so that only their numbers can be refused.
    threshold_for(&vec![-1.0; of(true)], &vec![-2.0; of(false)], wanted)
        .map(|_| ())
        .with_context(|| manifest.file.display().to_string())
}

fn score(
    model: &impl VideoVlm,
    entry: &LabelledEpisode,
    examination: &Examination,
    settings: SuccessSettings,
) -> Result<Scored> {
    let frames = dataset::read_frames(entry, examination.sample_fps)?.frames;
    let curves = dataset::curves(model, entry, &frames, examination)?;
    let curve = &curves.episode;
    let too_short = || {
        let SuccessSettings { window, hold_s, min_frames, .. } = settings;
        format!(
            "{} samples are too few for success to be called (window {window}, hold {hold_s} s, {min_frames} frames)",
            frames.len()
        )
    };
    Ok(Scored {
        success: entry.success,
        peak_nats: peak_score(curve, settings).with_context(too_short)?,
        first_nats: curve.first().map(Reading::judged).with_context(too_short)?,
        end_nats: end_score(curve, settings).with_context(too_short)?,
    })
}

fn instructions(manifest: &Manifest) -> Vec<String> {
    let distinct: BTreeSet<String> =
        manifest.entries.iter().map(|entry| entry.instruction.to_string()).collect();
    distinct.into_iter().collect()
}

fn write_report(
    out: &mut dyn Write,
    args: &CalibrateArgs,
    calibration: &Calibration,
    (successes, failures): &(Vec<f64>, Vec<f64>),
    threshold: Threshold,
) -> std::io::Result<()> {
    write!(out, "{}", plot(&roc(successes, failures)))?;
    let Estimate { value, low, high } = calibration.auc;
    let (good, bad) = (successes.len(), failures.len());
    writeln!(out, "ROC-AUC {value:.3} [{low:.3}, {high:.3}] on {good} successes and {bad} failures")?;
    writeln!(out, "threshold {:.4} nats", threshold.nats)?;
    let found = threshold.false_positives;
    let wanted = args.false_positive_rate * 100.0;
    writeln!(out, "  calls {found} of {bad} failures (wanted: at most {wanted} %)")?;
    let called: Vec<f64> =
        successes.iter().map(|score| f64::from(u8::from(*score >= threshold.nats))).collect();
    if let Some(Estimate { value, low, high }) = Bootstrap::default().mean(&called) {
        let (value, low, high) = (value * 100.0, low * 100.0, high * 100.0);
        let found = threshold.true_positives;
        writeln!(out, "  calls {found} of {good} successes: {value:.1} % [{low:.1}, {high:.1}]")?;
    }
    writeln!(
        out,
        "first reward {:.3}, final {:.3} nats (medians of the successes)",
        calibration.first_nats, calibration.final_nats
    )?;
    let scope = match calibration.instructions.len() {
        0 => "any instruction".to_owned(),
        count => format!("{count} instructions"),
    };
    writeln!(out, "written to {}, for {scope}", args.out.display())
}

/// The curve in characters: true-positive rate upwards, false-positive rate to the right.
fn plot(points: &[RocPoint]) -> String {
    const WIDTH: usize = 41;
    const HEIGHT: usize = 11;
    let mut cells = vec![[' '; WIDTH]; HEIGHT];
    let column = |rate: f64| (rate * (WIDTH - 1) as f64).round() as usize;
    let row = |rate: f64| ((1.0 - rate) * (HEIGHT - 1) as f64).round() as usize;
    let (mut x, mut y) = (0, row(0.0));
    for point in points {
        let (to_x, to_y) = (column(point.false_positive_rate), row(point.true_positive_rate));
        for line in &mut cells[to_y..=y] {
            line[x] = '█';
        }
        cells[to_y][x..=to_x].fill('█');
        (x, y) = (to_x, to_y);
    }
    let mut text = String::from("successes called\n");
    for (index, line) in cells.iter().enumerate() {
        let label = match index {
            0 => "100 %",
            _ if index == HEIGHT / 2 => " 50 %",
            _ if index == HEIGHT - 1 => "  0 %",
            _ => "     ",
        };
        let line: String = line.iter().collect();
        text += &format!("{label} │{}\n", line.trim_end());
    }
    text + &format!("      └{}\n       0 %{:>37}\n", "─".repeat(WIDTH), "failures called 100 %")
}

/// YYYY-MM-DD, UTC.
fn utc_date(at: Timestamp) -> String {
    TimeZone::UTC.to_datetime(at).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        let date = |seconds: i64| utc_date(Timestamp::from_second(seconds).unwrap());
        // date -u -d @SECONDS
        assert_eq!([date(0), date(951_868_799)], ["1970-01-01", "2000-02-29"]);
    }

    #[test]
    fn the_plot_goes_up_before_it_goes_right() {
        let perfect = plot(&roc(&[-1.0], &[-2.0]));
        let lines: Vec<&str> = perfect.lines().collect();
        assert_eq!(lines[1], format!("100 % │{}", "█".repeat(41)));
        assert_eq!(lines[11], "  0 % │█");
        let useless = plot(&roc(&[-2.0], &[-1.0]));
        let lines: Vec<&str> = useless.lines().collect();
        assert_eq!(lines[11], format!("  0 % │{}", "█".repeat(41)));
        assert_eq!(lines[1].chars().count(), 7 + 41);
    }
}
