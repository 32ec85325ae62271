//! As much of Rust's lexing as it takes to tell names from comments and strings.

#[derive(Debug, PartialEq)]
pub enum Token {
    /// An identifier or a keyword.
    Name(String),
    /// `::`, or any other single character.
    Sign(String),
    /// A string literal, its escapes as they are written.
    Text(String),
}

impl Token {
    /// Whether it is this name or sign.
    pub fn is(&self, text: &str) -> bool {
        matches!(self, Self::Name(own) | Self::Sign(own) if own == text)
    }
}

/// The tokens of a source, without its comments.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (token, length) = next(rest, first);
        found.extend(token);
        rest = &rest[length..];
    }
    found
}

/// The token at the start, if it is one, and its length in bytes.
fn next(rest: &str, first: char) -> (Option<Token>, usize) {
    let word = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    match first {
        _ if rest.starts_with("//") => (None, rest.find('\n').unwrap_or(rest.len())),
        _ if rest.starts_with("/*") => (None, rest.find("*/").map_or(rest.len(), |end| end + 2)),
        _ if rest.starts_with("::") => (Some(Token::Sign("::".to_owned())), 2),
        '"' => text(rest),
        '\'' => (None, character(rest)),
        _ if raw_text(rest).is_some() => {
            let (opening, closing) = raw_text(rest).unwrap();
            let end = rest[opening..].find(&closing).unwrap();
            (Some(Token::Text(rest[opening..opening + end].to_owned())), opening + end + closing.len())
        }
        _ if first.is_alphanumeric() || first == '_' => {
            let length = word(rest);
            (Some(Token::Name(rest[..length].to_owned())), length)
        }
        _ if first.is_whitespace() => (None, first.len_utf8()),
        _ => (Some(Token::Sign(first.to_string())), first.len_utf8()),
    }
}

fn text(rest: &str) -> (Option<Token>, usize) {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return (Some(Token::Text(rest[1..index].to_owned())), index + 1),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    (None, rest.len())
}

/// `r#"` and what closes it.
fn raw_text(rest: &str) -> Option<(usize, String)> {
    let behind = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    behind[hashes..].starts_with('"').then(|| {
        let opening = rest.len() - behind.len() + hashes + 1;
        (opening, format!("\"{}", "#".repeat(hashes)))
    })
}

/// The length of a character literal; a lifetime is but its quote.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        // An escape: the closing quote is not the escaped character itself.
        (Some((_, '\\')), Some((at, escaped))) => {
            let behind = at + escaped.len_utf8();
            rest[behind..].find('\'').map_or(1, |end| behind + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}
