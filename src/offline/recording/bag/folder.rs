//! Which files make up a bag, and how each is stored.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tempfile::NamedTempFile;

use super::BagError;
use super::cdr::ZSTD_MAGIC;
use super::index::Index;
use super::mcap_file::{self, McapFile};
use super::sqlite_file::{self, SqliteFile};
use super::storage::{Messages, Storage, TooMuch, unpacked_limit};
use crate::files;

const METADATA: &str = "metadata.yaml";
/// Ten thousand splits of a hundred topics have a tenth of it.
const METADATA_LIMIT: u64 = 8 << 20;

/// `metadata.yaml`, as far as it is needed; the rest repeats what the files hold.
#[derive(Debug, Deserialize)]
struct Metadata {
    rosbag2_bagfile_information: Information,
}

#[derive(Debug, Deserialize)]
struct Information {
    storage_identifier: String,
    relative_file_paths: Vec<String>,
    #[serde(default)]
    compression_format: String,
}

/// The files of a bag, in order.
pub struct Files {
    pub storages: Vec<Box<dyn Storage>>,
    /// "mcap" or "sqlite3"
    pub storage: &'static str,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
}

/// Whether this seems to be a rosbag2 recording: a file by its first bytes, a folder by its metadata.
pub fn is_bag(path: &Path) -> bool {
    match path.is_dir() {
        true => path.join(METADATA).is_file(),
        false => {
            matches!(Sort::of(path), Ok(Sort::Mcap | Sort::Sqlite))
                || (path.extension().is_some_and(|extension| extension == "zstd")
                    && matches!(Sort::of(path), Ok(Sort::Zstd)))
        }
    }
}

/// Finds the files of the bag at `path`: one file, or a folder with its metadata.
///
/// # Errors
/// It is no bag, or none of its files is there.
pub fn files(path: &Path) -> Result<Files, BagError> {
    if !path.is_dir() {
        let (storage, name) = stored(path)?;
        return Ok(Files { storages: vec![storage], storage: name, problems: Vec::new() });
    }
    let Information { storage_identifier, relative_file_paths, compression_format } = metadata(path)?;
    let refuse = |reason: String| BagError::NoBag { path: path.display().to_string(), reason };
    if !matches!(storage_identifier.as_str(), "mcap" | "sqlite3") {
        let known = "only mcap and sqlite3 are read";
        return Err(refuse(format!("its storage is \"{storage_identifier}\": {known}")));
    }
    if !matches!(compression_format.as_str(), "" | "zstd") {
        let known = "only zstd is read";
        return Err(refuse(format!("it is compressed by \"{compression_format}\": {known}")));
    }
    let (mut storages, mut problems, mut storage) = (Vec::new(), unlisted(path, &relative_file_paths), "");
    for name in &relative_file_paths {
        match in_folder(path, name).and_then(|file| stored(&file)) {
            Ok((file, sort)) => {
                storages.push(file);
                storage = sort;
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    match (storages.is_empty(), problems) {
        (true, _) if relative_file_paths.is_empty() => Err(refuse(format!("its {METADATA} lists no file"))),
        (true, problems) => Err(refuse(format!("none of its files can be read: {}", problems.join("; ")))),
        (false, problems) => Ok(Files { storages, storage, problems }),
    }
}

fn metadata(folder: &Path) -> Result<Information, BagError> {
    let refuse = |reason: String| BagError::NoBag { path: folder.display().to_string(), reason };
    let path = folder.join(METADATA);
    let text = files::read_text(&path, METADATA_LIMIT).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => refuse(format!(
            "the folder has no {METADATA} (a recorder that was killed writes none): give its .mcap or .db3 files \
             one by one, or make it with \"ros2 bag reindex\""
        )),
        _ => BagError::read(&path, error),
    })?;
    files::check_nesting(&text).map_err(|error| refuse(format!("its {METADATA} cannot be read: {error}")))?;
    let metadata: Metadata = serde_yaml::from_str(&text)
        .map_err(|error| refuse(format!("its {METADATA} cannot be read: {error}")))?;
    Ok(metadata.rosbag2_bagfile_information)
}

/// Where the file lies that the metadata names: within the folder. Old versions put the folder's own name before.
fn in_folder(folder: &Path, name: &str) -> Result<PathBuf, BagError> {
    let relative = Path::new(name);
    let inside = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !inside || name.is_empty() {
        let reason = format!("its {METADATA} names \"{name}\", which is not in the folder");
        return Err(BagError::NoBag { path: folder.display().to_string(), reason });
    }
    let own = folder.join(relative);
    let candidates = [Some(own.clone()), relative.file_name().map(|name| folder.join(name))];
    let there = candidates.into_iter().flatten().flat_map(|path| [path.clone(), otherwise_packed(&path)]);
    Ok(there.into_iter().find(|path| path.exists()).unwrap_or(own))
}

/// The ending of a file that was compressed as a whole.
const PACKED: &str = ".zstd";

/// A recorder that was killed while it compressed has written the other name: `x.mcap` is `x.mcap.zstd`, or the reverse.
fn otherwise_packed(path: &Path) -> PathBuf {
    match path.extension().is_some_and(|extension| extension == "zstd") {
        true => path.with_extension(""),
        false => {
            let mut name = path.as_os_str().to_owned();
            name.push(PACKED);
            PathBuf::from(name)
        }
    }
}

/// Files of recordings that lie in the folder and are not named by its metadata: a recorder that was killed, or a split that
/// was copied later. They are left out, and named.
fn unlisted(folder: &Path, listed: &[String]) -> Vec<String> {
    let plain = |name: &str| name.strip_suffix(PACKED).unwrap_or(name).to_owned();
    let known: Vec<String> = (listed.iter())
        .filter_map(|name| Path::new(name).file_name().map(|name| plain(&name.to_string_lossy())))
        .collect();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.path()).filter(|path| path.is_file() && !files::is_hidden(path));
    let mut names: Vec<String> =
        names.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    names.retain(|name| {
        let plain = plain(name);
        (plain.ends_with(".mcap") || plain.ends_with(".db3")) && !known.contains(&plain)
    });
    names.sort();
    let problem = |name: String| {
        format!(
            "{} is left out: {METADATA} does not list it (\"ros2 bag reindex\" makes it anew)",
            folder.join(name).display()
        )
    };
    names.into_iter().map(problem).collect()
}

/// What a file is, by its first bytes.
enum Sort {
    Mcap,
    Sqlite,
    Zstd,
    Ros1,
    Empty,
    Unknown,
}

impl Sort {
    fn of(path: &Path) -> std::io::Result<Self> {
        let mut first = Vec::new();
        files::open(path)?.take(16).read_to_end(&mut first)?;
        Ok(match first {
            first if first.is_empty() => Self::Empty,
            first if first.starts_with(&mcap_file::MAGIC) => Self::Mcap,
            first if first.starts_with(&sqlite_file::MAGIC) => Self::Sqlite,
            first if first.starts_with(&ZSTD_MAGIC) => Self::Zstd,
            first if first.starts_with(b"#ROSBAG V") => Self::Ros1,
            _ => Self::Unknown,
        })
    }
}

fn stored(path: &Path) -> Result<(Box<dyn Storage>, &'static str), BagError> {
    let refuse =
        |reason: &str| BagError::NoBag { path: path.display().to_string(), reason: reason.to_owned() };
    match Sort::of(path).map_err(|source| BagError::read(path, source))? {
        Sort::Mcap => Ok((Box::new(McapFile::new(path, path)), "mcap")),
        Sort::Sqlite => Ok((Box::new(SqliteFile::new(path, path)), "sqlite3")),
        Sort::Zstd => {
            let (unpacked, truncated) = unpack(path)
                .map_err(|source| BagError::Unpack { file: path.display().to_string(), source })?;
            let (inner, sort) = stored_plainly(unpacked.path(), path)
                .ok_or_else(|| refuse("its decompressed content is neither MCAP nor SQLite"))?;
            Ok((Box::new(Unpacked { inner, truncated, _file: unpacked }), sort))
        }
        Sort::Ros1 => Err(refuse("it is a bag of ROS 1: convert it first (rosbags-convert)")),
        Sort::Empty => Err(refuse("the file is empty")),
        Sort::Unknown => Err(refuse("its first bytes are neither those of MCAP nor those of SQLite")),
    }
}

fn stored_plainly(path: &Path, shown: &Path) -> Option<(Box<dyn Storage>, &'static str)> {
    match Sort::of(path) {
        Ok(Sort::Mcap) => Some((Box::new(McapFile::new(path, shown)), "mcap")),
        Ok(Sort::Sqlite) => Some((Box::new(SqliteFile::new(path, shown)), "sqlite3")),
        _ => None,
    }
}

/// A file that was compressed as a whole, unpacked beside the others that are temporary.
struct Unpacked {
    inner: Box<dyn Storage>,
    /// Why only its beginning could be unpacked.
    truncated: Option<String>,
    /// Removed when the bag is closed.
    _file: NamedTempFile,
}

impl Storage for Unpacked {
    fn scan(&self, file: u32, index: &mut Index) -> Result<(), BagError> {
        index.problems.extend(self.truncated.clone());
        self.inner.scan(file, index)
    }

    fn open(&self) -> Result<Box<dyn Messages>, BagError> {
        self.inner.open()
    }
}

/// The unpacked file and, if that could not be done to the end, why.
fn unpack(path: &Path) -> std::io::Result<(NamedTempFile, Option<String>)> {
    let packed = File::open(path)?;
    let limit = unpacked_limit(packed.metadata()?.len());
    let mut to = tempfile::Builder::new().prefix("topreward-bag-").tempfile()?;
    let mut unpacking = zstd::Decoder::new(packed)?.take(limit + 1);
    let mut piece = vec![0; 1 << 20];
    let (mut unpacked, mut truncated) = (0_u64, None);
    loop {
        match unpacking.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                to.write_all(&piece[..read])?;
                unpacked += read as u64;
            }
            Err(error) => {
                let shown = path.display();
                truncated = Some(format!("{shown}: it can be unpacked only up to byte {unpacked}: {error}"));
                break;
            }
        }
    }
    if unpacked > limit {
        return Err(std::io::Error::other(TooMuch::Bytes(limit)));
    }
    Ok((to, truncated))
}
