//! Holds README.md and docs/ true: every example with output is run with the embedded model and compared, links lead
//! somewhere, lines are short.
//!
//! An example is a fenced block marked `console`: `$ command`, with what it prints below. The commands of a page run one
//! after the other in one folder, which also holds the repository's models, config and tests.
//! `TOPREWARD_WRITE_DOCS=1 cargo test --test documentation` writes the present output into the pages.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Columns of a page; what GitHub's side-by-side view and most editors show.
const WIDEST: usize = 120;

/// Pictures that examples make, and which of the docs' pictures they are.
const PICTURES: [(&str, &str); 2] =
    [("score_plot.png", "docs/score_plot.png"), ("score_overlay.png", "docs/score_overlay.png")];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn writing() -> bool {
    std::env::var_os("TOPREWARD_WRITE_DOCS").is_some()
}

/// README.md, CONTRIBUTING.md and the pages below docs/, sorted.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![repository().join("CONTRIBUTING.md"), repository().join("README.md")];
    let docs = std::fs::read_dir(repository().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    pages.sort();
    pages
}

/// A folder to run a page's commands in.
fn bench() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for shared in ["models", "config", "tests"] {
        std::os::unix::fs::symlink(repository().join(shared), folder.path().join(shared)).unwrap();
    }
    folder
}

/// What a shell prints on both streams, as the page shows it.
fn printed(command: &str, folder: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_topreward"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command}\n{text}");
    text.lines().map(|line| laid_out(line.trim_end())).collect::<Vec<_>>().join("\n")
}

/// JSON with line breaks where it is too wide for one; other text as it is.
fn laid_out(line: &str) -> String {
    if !line.starts_with('{') || serde_json::from_str::<Value>(line).is_err() {
        return line.to_owned();
    }
    let mut text = String::new();
    let (mut depth, mut quoted) = (0, false);
    for (place, letter) in line.char_indices() {
        if letter == '"' && !line[..place].ends_with('\\') {
            quoted = !quoted;
        }
        if !quoted && letter == '{' && text.ends_with([' ', '[', '\n']) && depth > 1 {
            text = format!("{}\n{}", text.trim_end(), " ".repeat(depth));
        }
        text.push(letter);
        match letter {
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            ':' if !quoted => text.push(' '),
            ',' if !quoted => {
                let rest = &line[place + 1..];
                let next = rest.find(",\"").unwrap_or(rest.len()).min(80);
                let width = text.chars().rev().take_while(|letter| *letter != '\n').count();
                let full = width + next > WIDEST - 4 || (depth == 1 && text.ends_with("],"));
                text.push_str(&if full { format!("\n{}", " ".repeat(depth)) } else { " ".to_owned() });
            }
            _ => {}
        }
    }
    text
}

/// Text with its numbers taken out, and those.
fn numbers(text: &str) -> (String, Vec<String>) {
    let (mut rest, mut found) = (String::new(), Vec::new());
    let mut number = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_digit() || (letter == '.' && !number.is_empty()) {
            number.push(letter);
        } else {
            if !number.is_empty() {
                rest.push('#');
                found.push(std::mem::take(&mut number));
            }
            rest.push(letter);
        }
    }
    (rest, found)
}

/// Other processors compute other last digits: fractions may differ by one unit of their last decimal, and by 1e-4.
fn alike(shown: &str, printed: &str) -> bool {
    let ((text, found), (other_text, others)) = (numbers(shown), numbers(printed));
    let close = |(a, b): (&String, &String)| match (a.split_once('.'), a.parse::<f64>(), b.parse::<f64>()) {
        (Some((_, decimals)), Ok(x), Ok(y)) => {
            (x - y).abs() <= f64::max(1e-4, 1.01 * 10f64.powi(-(decimals.len() as i32)))
        }
        _ => a == b,
    };
    // A bar of progress may end one eighth of a cell further.
    let drawn = |letter: &char| !letter.is_whitespace() && !"█▏▎▍▌▋▊▉░".contains(*letter);
    let bare = |text: &str| text.chars().filter(drawn).collect::<String>();
    bare(&text) == bare(&other_text) && found.len() == others.len() && found.iter().zip(&others).all(close)
}

/// The page with the present output below every command.
fn present(page: &str, folder: &Path, differing: &mut Vec<String>) -> String {
    let mut lines = page.lines();
    let mut written = String::new();
    while let Some(line) = lines.next() {
        written += &format!("{line}\n");
        if line != "```console" {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let continued = block.iter().take_while(|line| line.ends_with('\\')).count();
        let (command, shown) = block.split_at(continued + 1);
        let command = command.join("\n");
        let run = command.strip_prefix("$ ").unwrap_or_else(|| panic!("no command: {command}"));
        let (shown, now) = (shown.join("\n"), printed(run, folder));
        let same = alike(&shown, &now);
        if !same {
            differing.push(format!("$ {run}\n--- the page\n{shown}\n--- now\n{now}\n"));
        }
        let kept = if same { shown } else { now };
        written += &format!("{command}\n{kept}{}```\n", if kept.is_empty() { "" } else { "\n" });
    }
    written
}

fn take_pictures(folder: &Path) {
    for (made, shown) in PICTURES {
        let (made, shown) = (folder.join(made), repository().join(shown));
        if !made.exists() {
            continue;
        }
        if writing() {
            std::fs::copy(&made, &shown).unwrap();
        }
        assert_eq!(::image::image_dimensions(&made).unwrap(), ::image::image_dimensions(&shown).unwrap());
    }
}

#[test]
fn every_example_prints_what_the_page_shows() {
    let mut differing = Vec::new();
    let mut commands = 0;
    for path in pages() {
        let page = std::fs::read_to_string(&path).unwrap();
        let folder = bench();
        let now = present(&page, folder.path(), &mut differing);
        take_pictures(folder.path());
        commands += page.lines().filter(|line| *line == "```console").count();
        if writing() {
            std::fs::write(&path, now).unwrap();
        }
    }
    assert!(commands >= 5, "only {commands} examples were found");
    let hint = "TOPREWARD_WRITE_DOCS=1 cargo test --test documentation";
    assert!(writing() || differing.is_empty(), "{}\nwrite them anew with {hint}", differing.join("\n"));
}

#[test]
fn lines_are_short() {
    let mut long = Vec::new();
    for path in pages() {
        // Written from src/config/table.rs: a row of its table is one parameter.
        let generated = path.ends_with("docs/parameters.md");
        for (number, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            if line.chars().count() > WIDEST && !generated {
                long.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(long.is_empty(), "longer than {WIDEST} characters:\n{}", long.join("\n"));
}

/// What a page links to: targets of `](…)` that are no addresses.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains("://"))
}

/// The anchor GitHub gives a heading: lower case, blanks to hyphens, without punctuation.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[test]
fn links_lead_somewhere() {
    for path in pages().into_iter().chain([repository().join("ARCHITECTURE.md")]) {
        let page = std::fs::read_to_string(&path).unwrap();
        for link in links(&page) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if !fragment.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                let found =
                    text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == fragment);
                assert!(found, "{}: no heading for {link}", path.display());
            }
        }
    }
}

#[test]
fn another_last_digit_is_no_difference_and_another_value_is() {
    assert!(alike("VOC 0.995, 25 frames", "VOC 0.996, 25 frames"));
    assert!(!alike("VOC 0.995, 25 frames", "VOC 0.975, 25 frames"));
    assert!(!alike("VOC 0.995, 25 frames", "VOC 0.995, 26 frames"));
    assert!(!alike("success called", "success not called"));
    assert!(!alike("-1.5", "1.5"));
    assert!(!alike("", "new"));
}
