//! A loaded model with all that is asked of it.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::ScoreArgs;
use super::timings::Timings;
use crate::cli::plots::{PlotArgs, model_name};
use crate::cli::settings::calibrate;
use crate::config::Config;
use crate::model::instruction::InstructionRule;
use crate::model::qwen3_vl::Qwen3Vl;
use crate::model::{Calibration, VideoVlm};
use crate::offline::recording::{RecordedEpisode, Sampled};
use crate::offline::results::{EpisodeResult, RunSettings, ScoredEpisode};
use crate::offline::{Prefixes, SampledFrame, Scoring, score_prefixes};
use crate::picture::plot;
use crate::reward::{Judge, ScoredPrefix};

pub struct Scorer {
    /// What the scores depend on.
    pub settings: RunSettings,
    pub timings: Timings,
    model: Qwen3Vl,
    config: Config,
    calibration: Option<Calibration>,
    prefixes: Prefixes,
    rule: InstructionRule,
    plots: PlotArgs,
}

impl Scorer {
    /// Loads the model.
    ///
    /// # Errors
    /// The model's own, an instruction that it does not take, or a calibration that was made for something else.
    pub fn load(args: &ScoreArgs, mut config: Config) -> Result<Self> {
        let mut model = args.scoring.load(&args.model, &config)?;
        let timings = Timings::default();
        if args.timings {
            model.time_stages(timings.stages.clone());
        }
        let rule = InstructionRule { model: Some(model.instruction_check()), ..InstructionRule::default() };
        let instruction = args.instruction.as_ref().map(|text| rule.accept(text)).transpose()?;
        let calibration = calibrate(&args.calibration, &model, instruction.as_deref(), &mut config)?;
        let prefixes = args.scoring.prefixes(&config);
        let settings = RunSettings {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            model: args.model.clone(),
            made_with: config.identity(model.info()),
            max_samples: config.max_samples(),
            prefixes: prefixes.to_string(),
            cache: !args.scoring.no_cache,
            bias_control: config.bias.control,
            instruction: instruction.as_deref().map(str::to_owned),
            progress: config.progress,
            success: config.success,
            calibration: calibration.clone(),
        };
        let plots = args.plots.clone();
        Ok(Self { settings, timings, model, config, calibration, prefixes, rule, plots })
    }

    pub fn model(&self) -> &Qwen3Vl {
        &self.model
    }

    /// What is asked about an episode: the command line's instruction, else its own.
    ///
    /// # Errors
    /// There is none, the model does not take it, or the calibration does not hold for it.
    pub fn instruction(&self, episode: &RecordedEpisode) -> Result<Arc<str>> {
        let own = self.settings.instruction.as_deref().or(episode.instruction.as_deref());
        let text = own.context("the recording has no instruction: give --instruction")?;
        let instruction = self.rule.accept(text)?;
        if let Some(calibration) = &self.calibration {
            calibration.check(&self.config.in_use(self.model.info(), Some(&instruction)))?;
        }
        Ok(instruction)
    }

    /// How many prefixes of an episode are scored.
    pub fn prefixes(&self, sampled: &Sampled) -> usize {
        self.prefixes.lengths(sampled.frames.len()).len()
    }

    /// Scores an episode by a model that is the loaded one. `scored` is called after each prefix.
    ///
    /// # Errors
    /// The first prefix that the model refuses.
    pub fn score(
        &self,
        model: &impl VideoVlm,
        episode: &RecordedEpisode,
        instruction: &str,
        sampled: Sampled,
        scored: &mut dyn FnMut(),
    ) -> Result<EpisodeResult> {
        let Sampled { frames, numbers, recorded_s } = sampled;
        let lengths = self.prefixes.lengths(frames.len());
        let RunSettings { cache, bias_control: control, progress, success, .. } = self.settings;
        let scoring = Scoring { instructions: &[instruction], lengths: &lengths, cache, control };
        let curve = score_prefixes(model, &frames, scoring, scored)?.pop().context("no curve")?;
        let prefixes = Judge::of_episode(&curve, progress, success);
        self.timings.scored(frames.len());
        let scored = ScoredEpisode {
            name: &episode.name,
            index: episode.index,
            instruction,
            recorded_s,
            sampled: numbers,
            prefixes: &prefixes,
        };
        let result = EpisodeResult::of(scored, &self.settings);
        self.draw(episode, &frames, &prefixes, &result)?;
        Ok(result)
    }

    fn draw(
        &self,
        episode: &RecordedEpisode,
        frames: &[SampledFrame],
        prefixes: &[ScoredPrefix],
        result: &EpisodeResult,
    ) -> Result<()> {
        let scored = plot::ScoredEpisode {
            instruction: &result.instruction,
            model: &model_name(&self.settings.model),
            voc: result.voc,
            prefixes,
            threshold_nats: self.settings.success.threshold_nats,
            called_s: result.success_s,
            completed_s: None,
        };
        self.plots.draw((&episode.name, episode.index), &*episode.footage, frames, &scored)
    }

    pub fn tell_timings(&self, args: &ScoreArgs) {
        if args.timings {
            eprint!("{}", self.timings.table(args.jobs));
        }
    }
}
