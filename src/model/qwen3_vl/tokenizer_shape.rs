//! Whether a tokenizer.json has the shape of one, before the library builds what it describes: a few bytes there can describe
//! steps without end.

use serde_json::Value;

use super::error::LoadError;

const FILE: &str = "tokenizer.json";
/// Steps of all kinds together; published tokenizers of this architecture have four.
const MOST_STEPS: usize = 32;
/// Characters of a pattern; theirs has 130.
const LONGEST_PATTERN: usize = 4096;
/// Entries of the vocabulary and of the merges; theirs have 152 thousand.
const MOST_ENTRIES: usize = 1 << 20;
/// What the steps of a tokenizer stand under.
const STEPS: [&str; 4] = ["normalizer", "pre_tokenizer", "post_processor", "decoder"];

/// # Errors
/// More steps, longer patterns or more entries than any tokenizer of this architecture has.
pub fn check(tokenizer: &Value) -> Result<(), LoadError> {
    let refuse = |field: &str, found: usize, most: usize| {
        Err(LoadError::field(
            FILE,
            field,
            found,
            format!("at most {most} are read: this is no tokenizer of Qwen3-VL"),
        ))
    };
    let mut seen = Seen::default();
    STEPS.iter().filter_map(|name| tokenizer.get(name)).for_each(|step| seen.look(step));
    if seen.steps > MOST_STEPS {
        return refuse("the number of steps", seen.steps, MOST_STEPS);
    }
    if seen.longest > LONGEST_PATTERN {
        return refuse("the length of a pattern", seen.longest, LONGEST_PATTERN);
    }
    let count = |value: Option<&Value>| match value {
        Some(Value::Array(entries)) => entries.len(),
        Some(Value::Object(entries)) => entries.len(),
        _ => 0,
    };
    let model = tokenizer.get("model");
    for (name, value) in [
        ("the number of vocabulary entries", model.and_then(|model| model.get("vocab"))),
        ("the number of merges", model.and_then(|model| model.get("merges"))),
        ("the number of added tokens", tokenizer.get("added_tokens")),
    ] {
        if count(value) > MOST_ENTRIES {
            return refuse(name, count(value), MOST_ENTRIES);
        }
    }
    Ok(())
}

#[derive(Default)]
struct Seen {
    steps: usize,
    longest: usize,
}

impl Seen {
    /// Goes through a step and those in it. JSON of more than 128 levels has been refused by its reader.
    fn look(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                self.steps += usize::from(fields.contains_key("type"));
                fields.values().for_each(|field| self.look(field));
            }
            Value::Array(entries) => entries.iter().for_each(|entry| self.look(entry)),
            Value::String(text) => self.longest = self.longest.max(text.chars().count()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_shape_of_a_tokenizer_has_bounds() {
        let golden = include_str!("../../../tests/golden/tied/tokenizer.json");
        check(&serde_json::from_str(golden).unwrap()).unwrap();
        let step = json!({"type": "ByteLevel", "add_prefix_space": true});
        let many = json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": vec![step; 40]}});
        let long = json!({"normalizer": {"type": "Replace", "pattern": {"Regex": "a".repeat(5000)}}});
        let merges = json!({"model": {"merges": vec![0; MOST_ENTRIES + 1]}});
        for (tokenizer, word) in
            [(many, "steps is 41"), (long, "pattern is 5000"), (merges, "merges is 1048577")]
        {
            let refusal = check(&tokenizer).unwrap_err().to_string();
            assert!(refusal.contains(word) && refusal.contains("tokenizer.json"), "{refusal}");
        }
    }
}
