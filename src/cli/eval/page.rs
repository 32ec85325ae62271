//! The evaluation as one HTML file that needs no other and asks nothing of the network.

use std::fmt::Write;

use super::chart;
use super::moments::Moment;
use super::table::{GVL_UNITS, GroupCells, Row, mode_name, rows};
use super::{Evaluation, Examined, Method, number};
use crate::offline::evaluation::{AblationRow, CurveSummary, ModeRow, Summary};
use crate::picture::plot::Thumbnail;
use crate::picture::plot::svg::escape;
use crate::reward::{BiasControl, Estimate, roc};

const STYLE: &str = include_str!("page.css");

pub fn page(evaluation: &Evaluation) -> String {
    let mut body = String::new();
    header(&mut body, evaluation);
    if let Some((all, groups)) = evaluation.summaries.split_first() {
        tiles(&mut body, all, all.judged_by(evaluation.success.bias_control));
        scores(&mut body, evaluation);
        measures(&mut body, all);
        if !groups.is_empty() {
            group_table(&mut body, groups, evaluation.success.bias_control);
        }
        guard_table(&mut body, all, &evaluation.ablation);
        mode_table(&mut body, &evaluation.modes);
    }
    errors(&mut body, evaluation);
    episodes(&mut body, evaluation);
    let title = escape(&format!("{} on {}", evaluation.model, evaluation.dataset));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// Writing to a string cannot fail.
fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = html.write_fmt(text);
    html.push('\n');
}

fn header(html: &mut String, evaluation: &Evaluation) {
    let (rule, fingerprint) = (&evaluation.success, &evaluation.made_with.fingerprint);
    put(html, format_args!("<header><p class=\"kicker\">topreward eval</p>"));
    put(html, format_args!("<h1>{}</h1>", escape(&evaluation.model)));
    put(html, format_args!("<p>on {}</p>", escape(&evaluation.dataset)));
    if evaluation.method == Method::Gvl {
        put(html, format_args!("<p>{GVL_UNITS}</p>"));
    }
    let calibration = match &rule.calibration {
        Some(file) => format!("{} ({})", rule.threshold_nats, escape(file)),
        None => rule.threshold_nats.to_string(),
    };
    put(
        html,
        format_args!(
            "<p class=\"settings\">{} frames a second · {} · chat template {} · {} pixels a frame · success: mean of {} rewards \
             from {calibration} nats, held {} s, {} frames or more, bias control {} · model {}</p></header>",
            evaluation.made_with.sample_fps,
            evaluation.made_with.dtype,
            if evaluation.made_with.chat_template { "on" } else { "off" },
            evaluation.made_with.max_pixels,
            rule.window,
            rule.hold_s,
            rule.min_frames,
            rule.bias_control.as_str(),
            escape(fingerprint.get(..12).unwrap_or(fingerprint)),
        ),
    );
}

fn tiles(html: &mut String, all: &Summary, judged: &CurveSummary) {
    let curve = &all.reward;
    let interval = |found: Option<Estimate>, decimals: usize| match found {
        Some(Estimate { value, low, high }) => {
            (format!("{value:.decimals$}"), format!("{low:.decimals$} to {high:.decimals$}"))
        }
        None => ("–".to_owned(), "undefined".to_owned()),
    };
    let voc = interval(curve.voc_of_successes.mean, 3);
    let success = interval(curve.auc_end, 3);
    let wrong = interval(curve.auc_wrong_instruction, 3);
    let climb = interval(all.control.climb_nats.mean, 3);
    let called = |called: usize, of: usize| {
        (format!("{called}<small> / {of}</small>"), "by the rule above".to_owned())
    };
    let tiles = [
        ("VOC of successes", voc),
        ("success ROC-AUC", success),
        ("wrong instruction ROC-AUC", wrong),
        ("static climb, nats", climb),
        ("successes called", called(judged.called_successes, all.successes)),
        ("failures called", called(judged.called_failures, all.failures)),
    ];
    put(html, format_args!("<section class=\"tiles\">"));
    for (name, (value, below)) in tiles {
        put(html, format_args!("<div><p>{name}</p><strong>{value}</strong><p>{below}</p></div>"));
    }
    put(html, format_args!("</section>"));
}

/// Where the success scores lie, by group, and the ROC curve.
fn scores(html: &mut String, evaluation: &Evaluation) {
    let mut strips: Vec<(String, Vec<(bool, f64)>)> = Vec::new();
    let mut all: [Vec<f64>; 2] = Default::default();
    for episode in &evaluation.episodes {
        let Some(nats) = evaluation.judged(&episode.measures).peak_nats else { continue };
        all[usize::from(episode.success)].push(nats);
        let label = if episode.success { "success" } else { "failure" };
        let name = episode.group.as_deref().unwrap_or(label);
        match strips.iter_mut().find(|(known, _)| known == name) {
            Some((_, scores)) => scores.push((episode.success, nats)),
            None => strips.push((name.to_owned(), vec![(episode.success, nats)])),
        }
    }
    strips.sort_by(|a, b| a.0.cmp(&b.0));
    let [failures, successes] = &all;
    put(html, format_args!("<section><h2>Success scores</h2><div class=\"split\">"));
    put(
        html,
        format_args!(
            "<figure>{}<figcaption>Best success score of each episode at any time, nats. <b class=\"good\">●</b> success, \
             <b class=\"bad\">●</b> failure, dashed: the threshold.</figcaption></figure>",
            chart::strips(&strips, evaluation.success.threshold_nats)
        ),
    );
    let points = roc(successes, failures);
    if !points.is_empty() {
        let found = evaluation
            .summaries
            .first()
            .and_then(|all| all.judged_by(evaluation.success.bias_control).auc_peak);
        put(
            html,
            format_args!(
                "<figure>{}<figcaption>ROC of the same scores, area {}. Right: failures called; up: successes called.\
                 </figcaption></figure>",
                chart::roc(&points),
                number(found.map(|found| found.value), 3)
            ),
        );
    }
    put(html, format_args!("</div></section>"));
}

fn measures(html: &mut String, all: &Summary) {
    put(
        html,
        format_args!(
            "<section><h2>Measures</h2><div class=\"scroll\"><table><thead><tr><th>mean [95 % interval]</th><th>reward</th>\
             <th>without the static climb</th></tr></thead><tbody>"
        ),
    );
    for Row { name, reward, corrected } in rows(all) {
        put(html, format_args!("<tr><th>{name}</th><td>{reward}</td><td>{corrected}</td></tr>"));
    }
    put(html, format_args!("</tbody></table></div></section>"));
}

fn group_table(html: &mut String, groups: &[Summary], control: BiasControl) {
    put(
        html,
        format_args!(
            "<section><h2>Groups</h2><div class=\"scroll\"><table><thead><tr><th>group</th><th>successes</th><th>failures</th>\
             <th>VOC</th><th>climb</th><th>AUC, end</th><th>AUC, any time</th><th>static VOC</th><th>static climb</th>\
             <th>called</th></tr></thead><tbody>"
        ),
    );
    for group in groups {
        let GroupCells { voc, climb, auc_end, auc_peak, called } = GroupCells::of(group, control);
        let value = |found: Option<Estimate>| number(found.map(|found| found.value), 3);
        put(
            html,
            format_args!(
                "<tr><th>{}</th><td>{}</td><td>{}</td><td>{voc}</td><td>{climb}</td><td>{auc_end}</td><td>{auc_peak}</td>\
                 <td>{}</td><td>{}</td><td>{called}</td></tr>",
                escape(group.group.as_deref().unwrap_or_default()),
                group.successes,
                group.failures,
                value(group.control.voc.mean),
                value(group.control.climb_nats.mean),
            ),
        );
    }
    put(
        html,
        format_args!(
            "</tbody></table></div><p class=\"note\">A group with one kind of episode is set against all of the other kind. \
             VOC and climb are the successes' where there are any.</p></section>"
        ),
    );
}

fn guard_table(html: &mut String, all: &Summary, ablation: &[AblationRow]) {
    put(
        html,
        format_args!(
            "<section><h2>Guards</h2><div class=\"scroll\"><table><thead><tr><th>without</th><th>successes called</th>\
             <th>failures called</th><th>completion to call, p50</th><th>p95, s</th></tr></thead><tbody>"
        ),
    );
    for AblationRow { without, called_successes, called_failures, delay_p50_s, delay_p95_s } in ablation {
        let (median, late) = (number(*delay_p50_s, 1), number(*delay_p95_s, 1));
        put(
            html,
            format_args!(
                "<tr><th>{without}</th><td>{called_successes} of {}</td><td>{called_failures} of {}</td><td>{median}</td>\
                 <td>{late}</td></tr>",
                all.successes, all.failures
            ),
        );
    }
    put(html, format_args!("</tbody></table></div></section>"));
}

fn mode_table(html: &mut String, modes: &[ModeRow]) {
    if modes.is_empty() {
        return;
    }
    put(
        html,
        format_args!(
            "<section><h2>Live progress</h2><div class=\"scroll\"><table><thead><tr><th>mode</th><th>mean error</th>\
             <th>correlation</th><th>successes end at (p50)</th><th>(p5)</th><th>failures' top (p50)</th><th>idle top (p95)</th>\
             </tr></thead><tbody>"
        ),
    );
    for row in modes {
        let name = mode_name(row);
        let (error, correlation) = (number(row.mean_error, 3), number(row.correlation, 3));
        let (end, low) = (number(row.end_of_successes_p50, 2), number(row.end_of_successes_p5, 2));
        let (failures, idle) = (number(row.peak_of_failures_p50, 2), number(row.peak_of_idle_p95, 3));
        put(
            html,
            format_args!(
                "<tr><th>{name}</th><td>{error}</td><td>{correlation}</td><td>{end}</td><td>{low}</td><td>{failures}</td>\
                 <td>{idle}</td></tr>"
            ),
        );
    }
    put(html, format_args!("</tbody></table></div></section>"));
}

fn errors(html: &mut String, evaluation: &Evaluation) {
    if evaluation.errors.is_empty() {
        return;
    }
    put(html, format_args!("<section class=\"errors\"><h2>Not used</h2><ul>"));
    for error in &evaluation.errors {
        put(html, format_args!("<li>{}</li>", escape(error)));
    }
    put(html, format_args!("</ul></section>"));
}

fn episodes(html: &mut String, evaluation: &Evaluation) {
    put(
        html,
        format_args!(
            "<section class=\"episodes\"><h2>Episodes</h2><div class=\"filter\" role=\"radiogroup\">"
        ),
    );
    let wrong = evaluation.episodes.iter().filter(|episode| misjudged(evaluation, episode)).count();
    let of = |success: bool| evaluation.episodes.iter().filter(|episode| episode.success == success).count();
    let choices = [
        ("all", evaluation.episodes.len()),
        ("successes", of(true)),
        ("failures", of(false)),
        ("misjudged", wrong),
    ];
    for (index, (name, count)) in choices.into_iter().enumerate() {
        let checked = if index == 0 { " checked" } else { "" };
        put(
            html,
            format_args!(
                "<input type=\"radio\" name=\"show\" id=\"show-{name}\"{checked}><label for=\"show-{name}\">{name} {count}</label>"
            ),
        );
    }
    put(
        html,
        format_args!(
            "</div><p class=\"legend\"><b class=\"reward\">—</b> reward, <b class=\"control\">—</b> first frame repeated, \
             <b class=\"wrong\">—</b> wrong instruction, <b class=\"threshold\">┄</b> threshold, <b class=\"called\">│</b> success \
             called, <b class=\"completed\">┊</b> task completed</p>"
        ),
    );
    for episode in &evaluation.episodes {
        card(html, evaluation, episode);
    }
    put(html, format_args!("</section>"));
}

/// Called without being done, or done without being called.
fn misjudged(evaluation: &Evaluation, episode: &Examined) -> bool {
    evaluation.judged(&episode.measures).called_at_s.is_some() != episode.success
}

fn card(html: &mut String, evaluation: &Evaluation, episode: &Examined) {
    let judged = evaluation.judged(&episode.measures);
    let label = if episode.success { "success" } else { "failure" };
    let wrong = misjudged(evaluation, episode);
    let verdict = match (judged.called_at_s, episode.success) {
        (Some(at_s), _) => format!("called at {at_s:.1} s"),
        (None, true) => "missed".to_owned(),
        (None, false) => "not called".to_owned(),
    };
    put(
        html,
        format_args!(
            "<details class=\"{label}{}\"><summary>{}<span class=\"name\">{}<span class=\"instruction\">{}</span></span>\
             <span class=\"badge {label}\">{}</span><span class=\"verdict\">{verdict}</span></summary>",
            if wrong { " misjudged" } else { "" },
            chart::spark(episode),
            escape(&episode.episode),
            escape(&episode.instruction),
            escape(episode.group.as_deref().unwrap_or(label)),
        ),
    );
    let curve = chart::episode(episode, judged, evaluation.success.threshold_nats);
    put(html, format_args!("<div class=\"detail\">{curve}<div class=\"frames\">"));
    for Moment { name, time_s, reward, picture: Thumbnail { data_uri, width, height } } in &episode.moments {
        let reward = reward.map(|nats| format!(", {nats:.2} nats")).unwrap_or_default();
        put(
            html,
            format_args!(
                "<figure><img src=\"{data_uri}\" width=\"{width}\" height=\"{height}\" alt=\"{name}\" loading=\"lazy\">\
                 <figcaption>{name}<br>{time_s:.1} s{reward}</figcaption></figure>"
            ),
        );
    }
    put(html, format_args!("</div></div><dl>{}</dl></details>", facts(episode)));
}

fn facts(episode: &Examined) -> String {
    let measures = &episode.measures;
    let fact = |name: &str, value: String| format!("<div><dt>{name}</dt><dd>{value}</dd></div>");
    let undefined = |voc: Option<f64>| voc.map_or_else(|| "undefined".to_owned(), |voc| format!("{voc:.3}"));
    let mut facts = vec![
        fact("VOC", undefined(measures.reward.voc)),
        fact("score at the end", number(measures.reward.end_nats, 3)),
        fact("best score", number(measures.reward.peak_nats, 3)),
        fact("climb", format!("{:.2}", measures.reward.climb_nats)),
        fact("static VOC", undefined(measures.control.and_then(|control| control.voc))),
        fact("static climb", number(measures.control.map(|control| control.climb_nats), 3)),
    ];
    if let (Some(wrong), Some(instruction)) = (&measures.wrong, &episode.wrong_instruction) {
        facts.push(fact(&format!("“{}”", escape(instruction)), number(wrong.end_nats, 3)));
    }
    facts.concat()
}
