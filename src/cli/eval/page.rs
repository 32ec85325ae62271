//! The evaluation as one HTML file that needs no other and asks nothing of the network. page.html is its template.

use anyhow::{Context, Result};
use askama::Template;

use super::table::{GVL_UNITS, GroupCells, Row, rows};
use super::{Evaluation, Examined, Method, chart, number};
use crate::offline::evaluation::{CurveSummary, Summary};
use crate::reward::{Estimate, roc};

/// # Errors
/// None that is known.
pub fn page(evaluation: &Evaluation) -> Result<String> {
    Page::of(evaluation).render().context("writing the page")
}

#[derive(Template)]
#[template(path = "page.html", config = "src/cli/eval/askama.toml")]
struct Page<'a> {
    style: &'static str,
    evaluation: &'a Evaluation,
    /// How figures are to be read that are not rewards.
    units: Option<&'static str>,
    fingerprint: &'a str,
    overall: Option<Overall<'a>>,
    /// Which episodes can be chosen, and how many they are.
    filters: [(&'static str, usize); 4],
    cards: Vec<Card<'a>>,
}

/// What was found in all episodes and in groups of them.
struct Overall<'a> {
    all: &'a Summary,
    tiles: [Tile; 6],
    strips: String,
    roc: Option<Roc>,
    measures: Vec<Row>,
    groups: Vec<GroupRow<'a>>,
}

struct Tile {
    name: &'static str,
    value: String,
    /// The number that it is a part of.
    of: Option<usize>,
    below: String,
}

struct Roc {
    svg: String,
    area: String,
}

struct GroupRow<'a> {
    group: &'a Summary,
    cells: GroupCells,
    static_voc: String,
    static_climb: String,
}

/// One episode.
struct Card<'a> {
    episode: &'a Examined,
    label: &'static str,
    badge: &'a str,
    misjudged: bool,
    verdict: String,
    spark: String,
    curve: String,
    facts: Vec<(String, String)>,
}

impl<'a> Page<'a> {
    fn of(evaluation: &'a Evaluation) -> Self {
        let cards: Vec<Card<'_>> =
            evaluation.episodes.iter().map(|episode| Card::of(evaluation, episode)).collect();
        let of = |success: bool| cards.iter().filter(|card| card.episode.success == success).count();
        Self {
            style: include_str!("page.css"),
            evaluation,
            units: (evaluation.method == Method::Gvl).then_some(GVL_UNITS),
            fingerprint: evaluation
                .made_with
                .fingerprint
                .get(..12)
                .unwrap_or(&evaluation.made_with.fingerprint),
            overall: Overall::of(evaluation),
            filters: [
                ("all", cards.len()),
                ("successes", of(true)),
                ("failures", of(false)),
                ("misjudged", cards.iter().filter(|card| card.misjudged).count()),
            ],
            cards,
        }
    }
}

impl<'a> Overall<'a> {
    fn of(evaluation: &'a Evaluation) -> Option<Self> {
        let (all, groups) = evaluation.summaries.split_first()?;
        let control = evaluation.success.bias_control;
        let (strips, roc) = scores(evaluation);
        let static_value = |found: Option<Estimate>| number(found.map(|found| found.value), 3);
        let row = |group: &'a Summary| GroupRow {
            group,
            cells: GroupCells::of(group, control),
            static_voc: static_value(group.control.voc.mean),
            static_climb: static_value(group.control.climb_nats.mean),
        };
        Some(Self {
            all,
            tiles: tiles(all, all.judged_by(control)),
            strips,
            roc,
            measures: rows(all),
            groups: groups.iter().map(row).collect(),
        })
    }
}

fn tiles(all: &Summary, judged: &CurveSummary) -> [Tile; 6] {
    let interval = |name, found: Option<Estimate>| match found {
        Some(Estimate { value, low, high }) => {
            Tile { name, value: format!("{value:.3}"), of: None, below: format!("{low:.3} to {high:.3}") }
        }
        None => Tile { name, value: "–".to_owned(), of: None, below: "undefined".to_owned() },
    };
    let called = |name, called: usize, of| Tile {
        name,
        value: called.to_string(),
        of: Some(of),
        below: "by the rule above".to_owned(),
    };
    [
        interval("VOC of successes", all.reward.voc_of_successes.mean),
        interval("success ROC-AUC", all.reward.auc_end),
        interval("wrong instruction ROC-AUC", all.reward.auc_wrong_instruction),
        interval("static climb, nats", all.control.climb_nats.mean),
        called("successes called", judged.called_successes, all.successes),
        called("failures called", judged.called_failures, all.failures),
    ]
}

/// Where the success scores lie, by group, and the ROC curve.
fn scores(evaluation: &Evaluation) -> (String, Option<Roc>) {
    let mut strips: Vec<(String, Vec<(bool, f64)>)> = Vec::new();
    let mut all: [Vec<f64>; 2] = Default::default();
    for episode in &evaluation.episodes {
        let Some(nats) = evaluation.judged(&episode.measures).peak_nats else { continue };
        all[usize::from(episode.success)].push(nats);
        let name = episode.group.as_deref().unwrap_or(label(episode));
        match strips.iter_mut().find(|(known, _)| known == name) {
            Some((_, scores)) => scores.push((episode.success, nats)),
            None => strips.push((name.to_owned(), vec![(episode.success, nats)])),
        }
    }
    strips.sort_by(|a, b| a.0.cmp(&b.0));
    let [failures, successes] = &all;
    let points = roc(successes, failures);
    let area = || {
        let all = evaluation.summaries.first()?.judged_by(evaluation.success.bias_control);
        Some(all.auc_peak?.value)
    };
    let roc = (!points.is_empty()).then(|| Roc { svg: chart::roc(&points), area: number(area(), 3) });
    (chart::strips(&strips, evaluation.success.threshold_nats), roc)
}

fn label(episode: &Examined) -> &'static str {
    if episode.success { "success" } else { "failure" }
}

impl<'a> Card<'a> {
    fn of(evaluation: &Evaluation, episode: &'a Examined) -> Self {
        let judged = evaluation.judged(&episode.measures);
        let label = label(episode);
        Self {
            episode,
            label,
            badge: episode.group.as_deref().unwrap_or(label),
            // Called without being done, or done without being called.
            misjudged: judged.called_at_s.is_some() != episode.success,
            verdict: match (judged.called_at_s, episode.success) {
                (Some(at_s), _) => format!("called at {at_s:.1} s"),
                (None, true) => "missed".to_owned(),
                (None, false) => "not called".to_owned(),
            },
            spark: chart::spark(episode),
            curve: chart::episode(episode, judged, evaluation.success.threshold_nats),
            facts: facts(episode),
        }
    }
}

fn facts(episode: &Examined) -> Vec<(String, String)> {
    let measures = &episode.measures;
    let undefined = |voc: Option<f64>| voc.map_or_else(|| "undefined".to_owned(), |voc| format!("{voc:.3}"));
    let mut facts = vec![
        ("VOC".to_owned(), undefined(measures.reward.voc)),
        ("score at the end".to_owned(), number(measures.reward.end_nats, 3)),
        ("best score".to_owned(), number(measures.reward.peak_nats, 3)),
        ("climb".to_owned(), format!("{:.2}", measures.reward.climb_nats)),
        ("static VOC".to_owned(), undefined(measures.control.and_then(|control| control.voc))),
        ("static climb".to_owned(), number(measures.control.map(|control| control.climb_nats), 3)),
    ];
    if let (Some(wrong), Some(instruction)) = (&measures.wrong, &episode.wrong_instruction) {
        facts.push((format!("“{instruction}”"), number(wrong.end_nats, 3)));
    }
    facts
}
