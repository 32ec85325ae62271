//! The table of ARCHITECTURE.md: what each place must not know, and what that means in names.

/// A row of the table.
pub struct Row {
    /// Files, or folders that end with a slash.
    pub places: Vec<String>,
    pub must_not_know: Vec<Unknown>,
}

/// A thing that a place must not know.
pub struct Unknown {
    /// As the table says it.
    pub word: String,
    /// Paths that are not to be named.
    pub names: Vec<&'static str>,
    /// Paths in them that are fine: "models (but `Dtype`)".
    pub except: Vec<String>,
    /// Marks that are in no text of the place.
    pub marks: &'static [&'static str],
}

const HEADING: &str = "| place | what it does | what it must not know |";

/// What the words of the table's last column mean.
const MEANING: [(&str, &[&str]); 13] = [
    ("ROS", &["r2r", "crate::ros"]),
    ("ROS's names", &[]),
    ("clocks", &["std::time::Instant", "std::time::SystemTime", "tokio"]),
    ("threads", &["std::thread", "rayon", "tokio"]),
    ("channels", &["std::sync::mpsc", "tokio", "futures"]),
    ("files", &["std::fs", "memmap2", "tempfile", "rustix"]),
    ("tensors", &["candle_core", "candle_nn"]),
    ("parameters", &["crate::config"]),
    ("models", &["crate::model"]),
    ("recordings", &["crate::offline::recording"]),
    ("videos", &["crate::offline::recording::video"]),
    ("the command line", &["clap", "crate::cli"]),
    ("other rooms", &["crate"]),
];

/// How ROS writes the names of a node's own topics and services.
const ROS_MARKS: &[&str] = &["~/"];

/// The rows of ARCHITECTURE.md.
pub fn rows(page: &str) -> Vec<Row> {
    let (_, below) = page.split_once(HEADING).unwrap_or_else(|| panic!("there is no \"{HEADING}\""));
    let rows = below.lines().skip(2).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        // The middle column may hold anything.
        let (first, rest) = line[1..].split_once('|').unwrap();
        let (_, last) = rest.trim_end().trim_end_matches('|').rsplit_once('|').unwrap();
        let places = quoted(first);
        let must_not_know =
            last.split(", ").map(str::trim).filter(|word| !word.is_empty()).map(unknown).collect();
        Row { places, must_not_know }
    };
    rows.map(row).collect()
}

fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn unknown(text: &str) -> Unknown {
    let (word, except) = text.split_once(" (but ").unwrap_or((text, ""));
    let (_, names) = MEANING.iter().find(|(known, _)| *known == word).unwrap_or_else(|| {
        panic!("ARCHITECTURE.md: \"{word}\" must not be known, but tests/architecture/table.rs does not say what it means")
    });
    let except = quoted(except).iter().map(|name| format!("{}::{name}", names[0])).collect();
    let marks = if word == "ROS's names" { ROS_MARKS } else { &[] };
    Unknown { word: word.to_owned(), names: names.to_vec(), except, marks }
}
