//! File names for episodes, whose own names may hold anything.

use ring::digest::{SHA256, digest};

/// Longest part that is taken from the episode's name, bytes.
const LONGEST: usize = 150;

/// A file name of letters, digits, `.`, `_` and `-` for an episode's name. A name that is one already is kept; any other
/// gets what can be kept of it and 16 hexadecimal digits of its SHA-256, so that two names never share a file.
pub fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let hidden_or_option = name.starts_with(['.', '-']);
    if !name.is_empty() && name.len() <= LONGEST && name.chars().all(plain) && !hidden_or_option {
        return format!("{name}.json");
    }
    let kept: String = name.chars().map(|c| if plain(c) { c } else { '_' }).take(LONGEST).collect();
    let kept = kept.trim_start_matches(['.', '-']);
    let hash = digest(&SHA256, name.as_bytes());
    let hash: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{kept}-{hash}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_kept() {
        assert_eq!(file_name("episode_000007"), "episode_000007.json");
        assert_eq!(file_name("a-1.mp4"), "a-1.mp4.json");
    }

    #[test]
    fn other_names_become_file_names_of_their_own() {
        // The digits: printf %s a/b | sha256sum
        assert_eq!(file_name("a/b"), "a_b-c14cddc033f64b9d.json");
        let names = ["a/b", "a_b", "a b", "..", ".a", "-a", "", "Tür", "a#2", "../a", "/etc/passwd"];
        let files: std::collections::BTreeSet<String> = names.iter().map(|name| file_name(name)).collect();
        assert_eq!(files.len(), names.len(), "{files:?}");
        for file in &files {
            assert!(!file.starts_with('.') && !file.contains(['/', ' ']) && file.is_ascii(), "{file}");
        }
    }

    #[test]
    fn long_names_fit_into_a_file_system() {
        let (one, other) = (format!("{}1", "x".repeat(400)), format!("{}2", "x".repeat(400)));
        assert!(file_name(&one).len() <= 200);
        assert_ne!(file_name(&one), file_name(&other));
        assert!(file_name(&"杯".repeat(400)).len() <= 200);
    }
}
