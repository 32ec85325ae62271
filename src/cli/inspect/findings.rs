//! What was found, as lines for people and as one JSON object: the same things under both.

use std::fmt::Display;
use std::path::Path;

use serde_json::{Map, Value};

/// A kind of thing, and what it holds.
pub struct Findings {
    kind: &'static str,
    title: String,
    rows: Vec<Row>,
}

struct Row {
    key: &'static str,
    shown: String,
    value: Value,
}

impl Findings {
    /// `kind`: one word for programs; `title`: the same for people.
    pub fn new(kind: &'static str, title: impl Into<String>) -> Self {
        Self { kind, title: title.into(), rows: Vec::new() }
    }

    /// A fact under its JSON key, whose words label the line too. What is shown may run over several lines.
    pub fn add(&mut self, key: &'static str, value: impl Into<Value>, shown: impl Display) {
        self.rows.push(Row { key, shown: shown.to_string(), value: value.into() });
    }

    /// A fact that reads the same for people and programs.
    pub fn plain(&mut self, key: &'static str, value: impl Into<Value>) {
        let value = value.into();
        let shown = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.rows.push(Row { key, shown, value });
    }

    pub fn to_text(&self, path: &Path) -> String {
        let label = |row: &Row| row.key.replace('_', " ");
        let width = self.rows.iter().map(|row| row.key.len()).max().unwrap_or(0);
        let mut text = format!("{}: {}\n", path.display(), self.title);
        for row in &self.rows {
            for (index, line) in row.shown.lines().enumerate() {
                let label = if index == 0 { label(row) } else { String::new() };
                text += format!("  {label:width$}  {line}").trim_end();
                text.push('\n');
            }
        }
        text
    }

    pub fn to_json(&self, path: &Path) -> Value {
        let mut object = Map::new();
        object.insert("path".to_owned(), path.display().to_string().into());
        object.insert("kind".to_owned(), self.kind.into());
        for row in &self.rows {
            object.insert(row.key.to_owned(), row.value.clone());
        }
        Value::Object(object)
    }
}

/// `1.4 MB`; decimal units, as file managers and hubs show them.
pub fn bytes(count: u64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.into_iter().find(|(unit, _)| count as f64 >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", count as f64 / unit),
        None => format!("{count} bytes"),
    }
}

/// `3 successes`, `1 success`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_programs_are_told_the_same() {
        let mut findings = Findings::new("thing", "a thing");
        findings.plain("codec", "av1");
        findings.add("duration_s", 7.5, "7.5 s");
        findings.add("groups", vec!["a", "b"], "a\nb");
        let path = Path::new("x.mp4");
        assert_eq!(
            findings.to_text(path),
            "x.mp4: a thing\n  codec       av1\n  duration s  7.5 s\n  groups      a\n              b\n"
        );
        let json = serde_json::json!({
            "path": "x.mp4", "kind": "thing", "codec": "av1", "duration_s": 7.5, "groups": ["a", "b"]
        });
        assert_eq!(findings.to_json(path), json);
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!([999, 1500, 2_000_000].map(bytes), ["999 bytes", "1.5 kB", "2.0 MB"]);
    }
}
