//! A folder of pictures.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Footage, RecordingError, regular_stamp_ns};
use crate::episode::CameraFrame;
use crate::episode::image::{ImageError, decode_picture};
use crate::files;

/// The PNG and JPEG pictures of a folder in the order of their names, numbers by value.
pub struct Pictures {
    files: Vec<PathBuf>,
    fps: f64,
}

impl Pictures {
    /// `fps`: frames a second.
    ///
    /// # Errors
    /// A folder that cannot be read or holds no picture, or a rate that is none.
    pub fn open(folder: &Path, fps: f64) -> Result<Self, RecordingError> {
        if !(fps > 0.0 && fps.is_finite()) {
            return Err(RecordingError::FrameRate(fps));
        }
        let shown = folder.display().to_string();
        let unreadable = |source| RecordingError::Read { file: shown.clone(), source };
        let entries = std::fs::read_dir(folder).map_err(unreadable)?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            if is_picture(&path) {
                files.push(path);
            }
        }
        if files.is_empty() {
            return Err(RecordingError::NoPictures(shown));
        }
        files.sort_by_cached_key(|path| natural_key(path));
        Ok(Self { files, fps })
    }

    /// The pictures in their order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Footage for Pictures {
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
        for (number, file) in self.files.iter().enumerate() {
            let file = file.clone();
            let decode = move || {
                let refuse = |reason: String| ImageError::File { file: file.display().to_string(), reason };
                let mut bytes = Vec::new();
                let read = files::open(&file).and_then(|mut opened| opened.read_to_end(&mut bytes));
                read.map_err(|error| refuse(error.to_string()))?;
                decode_picture(&bytes).map_err(|error| refuse(error.to_string()))
            };
            let frame = CameraFrame::new(regular_stamp_ns(number, self.fps), Arc::from(""), None, decode);
            if show(frame).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Hidden files are none: what macOS writes beside each file ends like it (`._f000.jpg`).
fn is_picture(path: &Path) -> bool {
    if files::is_hidden(path) {
        return false;
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    matches!(extension.as_str(), "png" | "jpg" | "jpeg")
}

/// Sorts `frame_9` before `frame_10`: runs of digits compare by value.
fn natural_key(path: &Path) -> Vec<(u128, String)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut key = vec![(0, String::new())];
    let mut digits = String::new();
    for character in name.chars().chain(['\0']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        if !digits.is_empty() {
            key.push((digits.parse().unwrap_or(u128::MAX), String::new()));
            digits.clear();
        }
        if let Some((_, text)) = key.last_mut() {
            text.push(character);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_are_no_pictures() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["f1.png", "._f0.png", ".hidden.jpg", "f2.JPG", "notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let pictures = Pictures::open(folder.path(), 4.0).unwrap();
        let names: Vec<_> = pictures.files().iter().map(|file| file.file_name().unwrap()).collect();
        assert_eq!(names, ["f1.png", "f2.JPG"]);
    }

    #[test]
    fn numbers_in_names_sort_by_value() {
        let mut names =
            ["f10.png", "f9.png", "f100.png", "a2b3.png", "a2b20.png", "f.png"].map(PathBuf::from);
        names.sort_by_cached_key(|path| natural_key(path));
        let names: Vec<_> = names.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["a2b3.png", "a2b20.png", "f9.png", "f10.png", "f100.png", "f.png"]);
    }
}
