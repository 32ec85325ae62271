//! Files that others made: what is no file at all, and text as editors leave it.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How the file begins that Git leaves in place of one that its extension for large files (LFS) has not fetched.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
enum GivenError {
    #[error(
        "it is only the pointer that Git LFS left in its place: run \"git lfs pull\" in its folder, or download the file itself"
    )]
    LfsPointer,
    #[error("it is not UTF-8 text from byte {at} on{of_kind}: save it as UTF-8")]
    Encoding { at: usize, of_kind: &'static str },
    #[error("it has more than {0} bytes, the most that are read")]
    Long(u64),
}

/// Opens a file for reading.
///
/// # Errors
/// The file system's own, and a pointer of Git LFS.
pub fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let mut start = [0; LFS_POINTER.len()];
    // A pipe has no first bytes that could be read twice, and is no pointer.
    if file.read_exact_at(&mut start, 0).is_ok() && start == LFS_POINTER {
        return Err(io::Error::other(GivenError::LfsPointer));
    }
    Ok(file)
}

/// The text of a file, without the byte order mark that some editors put before it.
///
/// # Errors
/// As [`open`]; more than `most` bytes, or other than UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(GivenError::Long(most)));
    }
    text(bytes)
}

/// The text of a YAML file of a person's: as [`read_text`], and not nested more deeply than [`check_nesting`] allows.
///
/// # Errors
/// As those two.
pub fn read_yaml(path: &Path, most: u64) -> io::Result<String> {
    let text = read_text(path, most)?;
    check_nesting(&text).map_err(io::Error::other)?;
    Ok(text)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let of_kind = match error.as_bytes() {
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => " (it seems to be UTF-16)",
            _ => " (an older encoding, such as GBK or Latin-1)",
        };
        let at = error.utf8_error().valid_up_to();
        io::Error::new(ErrorKind::InvalidData, GivenError::Encoding { at, of_kind })
    })?;
    Ok(match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Deepest nesting of lists and maps in a YAML text.
const DEEPEST: usize = 64;

/// A YAML text that no parameter file or metadata looks like.
#[derive(Debug, thiserror::Error)]
#[error("line {line} opens more than {DEEPEST} lists and maps inside each other")]
pub struct NestingError {
    line: usize,
}

/// Whether a YAML text nests its lists and maps only as deeply as files of people do. The parser takes a time that grows with
/// the square of the depth, so this is asked before: brackets in brackets, and dashes or question marks one behind the
/// other. What stands in quotes or comments is counted too.
///
/// # Errors
/// Deeper than 64.
pub fn check_nesting(text: &str) -> Result<(), NestingError> {
    let mut open = 0usize;
    for (line, content) in text.lines().enumerate() {
        let starts = content.split([' ', '\t']).filter(|word| !word.is_empty());
        let dashes = starts.take_while(|word| ["-", "?", ":"].contains(word)).count();
        for byte in content.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open + dashes > DEEPEST {
                return Err(NestingError { line: line + 1 });
            }
        }
        if dashes > DEEPEST {
            return Err(NestingError { line: line + 1 });
        }
    }
    Ok(())
}

/// Whether a name begins with a dot: what systems and tools put beside the files of people (`._a.png` of macOS,
/// `.ipynb_checkpoints`, our own unfinished ones) and no part of what lies in a folder.
pub fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn refusal(bytes: &[u8]) -> String {
        read_text(file(bytes).path(), 1000).unwrap_err().to_string()
    }

    #[test]
    fn a_pointer_of_git_lfs_is_named() {
        // As https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md has it.
        let pointer = "version https://git-lfs.github.com/spec/v1\n\
             oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
        assert!(refusal(pointer.as_bytes()).contains("git lfs pull"));
        assert!(open(file(pointer.as_bytes()).path()).is_err());
        for other in
            ["", "version https://git", "version 3 of a text that is long enough for a pointer of LFS"]
        {
            assert_eq!(read_text(file(other.as_bytes()).path(), 1000).unwrap(), other);
        }
    }

    #[test]
    fn text_is_utf8_without_its_mark() {
        assert_eq!(read_text(file(b"\xEF\xBB\xBF{}").path(), 5).unwrap(), "{}");
        // "Put" in Chinese in GBK, and text in UTF-16.
        assert!(refusal(b"a\xB0\xD1").contains("from byte 1 on (an older encoding, such as GBK"));
        assert!(refusal(b"\xFF\xFEa\0").contains("UTF-16"));
        assert!(read_text(file(b"123456").path(), 5).unwrap_err().to_string().contains("more than 5 bytes"));
    }

    #[test]
    fn nesting_has_a_bound() {
        for text in
            ["a: [1, 2, [3]]\nb: {c: d}\n- - - x\n", &"[1]\n".repeat(1000), &"a: [1, 2]\n- b\n".repeat(1000)]
        {
            check_nesting(text).unwrap();
        }
        for text in [
            "[".repeat(100_000),
            "- ".repeat(100_000),
            "{a: ".repeat(100),
            format!("a: 1\n{}", "? ".repeat(70)),
        ] {
            assert!(check_nesting(&text).unwrap_err().to_string().contains("more than 64"));
        }
        assert_eq!(check_nesting(&format!("a: 1\n{}", "[".repeat(65))).unwrap_err().line, 2);
    }

    #[test]
    fn hidden_is_what_begins_with_a_dot() {
        for (name, hidden) in
            [("a/._b.png", true), (".ipynb_checkpoints", true), (".a/b.png", false), ("b", false)]
        {
            assert_eq!(is_hidden(Path::new(name)), hidden, "{name}");
        }
    }
}
