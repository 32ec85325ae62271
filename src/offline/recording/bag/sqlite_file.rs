//! SQLite files of rosbag2, opened for reading alone: also while a recorder writes, or with what one that was killed has
//! left in the journal beside the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::BagError;
use super::cdr::MESSAGE_LIMIT;
use super::index::{Index, MessageLocation};
use super::storage::{Messages, Storage};

pub const MAGIC: [u8; 16] = *b"SQLite format 3\0";

pub struct SqliteFile {
    path: PathBuf,
    /// The path to be shown: of the compressed file, where this is what was in it.
    shown: PathBuf,
}

impl SqliteFile {
    pub fn new(path: &Path, shown: &Path) -> Self {
        Self { path: path.to_owned(), shown: shown.to_owned() }
    }

    fn failed(&self, error: rusqlite::Error) -> BagError {
        BagError::Sqlite { file: self.shown.display().to_string(), source: error }
    }

    /// The topics by their number in the file.
    fn topics(&self, connection: &Connection, index: &mut Index) -> Result<HashMap<i64, usize>, BagError> {
        if !has_topics(connection).map_err(|error| self.failed(error))? {
            let reason = "it is a database, but not one of rosbag2 (no table \"topics\" as rosbag2 makes it)"
                .to_owned();
            return Err(BagError::NoBag { path: self.shown.display().to_string(), reason });
        }
        let mut statement = connection
            .prepare("SELECT id, name, type, serialization_format FROM topics ORDER BY id")
            .map_err(|error| self.failed(error))?;
        let mut rows = statement.query([]).map_err(|error| self.failed(error))?;
        let mut topics = HashMap::new();
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            let text = |column| row.get::<_, String>(column).map_err(|error| self.failed(error));
            let id = row.get(0).map_err(|error| self.failed(error))?;
            topics.insert(id, index.topic(&text(1)?, &text(2)?, &text(3)?));
        }
        Ok(topics)
    }

    /// The messages; an error comes after those that could be read.
    fn messages(
        &self,
        connection: &Connection,
        topics: &HashMap<i64, usize>,
        file: u32,
        index: &mut Index,
        count: &mut u64,
    ) -> rusqlite::Result<()> {
        let wanted: Vec<String> =
            topics.iter().filter(|(_, topic)| index.wants(**topic)).map(|(id, _)| id.to_string()).collect();
        let mut statement = connection.prepare(&format!(
            "SELECT id, topic_id, timestamp, CASE WHEN topic_id IN ({}) THEN data END FROM messages ORDER BY id",
            wanted.join(",")
        ))?;
        let mut rows = statement.query([])?;
        let mut lost = 0_u64;
        while let Some(row) = rows.next()? {
            let stored = bytes(row.get_ref(3)?);
            match (topics.get(&row.get(1)?), row.get(0), row.get(2)) {
                (Some(topic), Ok(id), Ok(log_ns)) => {
                    let found = index.look(*topic, file, log_ns, MessageLocation::Row(id), stored);
                    index.take(found);
                    *count += 1;
                }
                _ => lost += 1,
            }
        }
        if lost > 0 {
            let shown = self.shown.display();
            index.problems.push(format!("{shown}: {lost} messages belong to no topic and are left out"));
        }
        Ok(())
    }
}

impl Storage for SqliteFile {
    fn scan(&self, file: u32, index: &mut Index) -> Result<(), BagError> {
        let (connection, alone) = connect(&self.path).map_err(|error| self.failed(error))?;
        if alone && has_journal(&self.path) {
            let shown = self.shown.display();
            index.problems.push(format!(
                "{shown}: the journal beside it (-wal) cannot be read, because the folder is read-only: copy the bag to a folder that is not"
            ));
        }
        let topics = self.topics(&connection, index)?;
        let mut count = 0;
        if let Err(error) = self.messages(&connection, &topics, file, index, &mut count) {
            let shown = self.shown.display();
            index.problems.push(format!(
                "{shown}: the file is truncated or damaged ({error}); the {count} messages before that are used"
            ));
        }
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Messages>, BagError> {
        let (connection, _) = connect(&self.path).map_err(|error| self.failed(error))?;
        Ok(Box::new(OpenSqlite { shown: self.shown.clone(), connection }))
    }
}

/// Whether there is rosbag2's table of topics.
fn has_topics(connection: &Connection) -> rusqlite::Result<bool> {
    let columns = "SELECT COUNT(*) FROM pragma_table_info('topics') \
                   WHERE name IN ('id', 'name', 'type', 'serialization_format')";
    connection.query_row(columns, [], |row| Ok(row.get::<_, i64>(0)? == 4))
}

/// Reads with what lies in the journal. In a folder that cannot be written to, SQLite can do so only where the recorder
/// has left its index of the journal; else the file alone is read, which the second value shows.
fn connect(path: &Path) -> rusqlite::Result<(Connection, bool)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let tried = connection.query_row("SELECT COUNT(*) FROM sqlite_master", [], |_| Ok(()));
    match tried.as_ref().map_err(rusqlite::Error::sqlite_error_code) {
        Err(Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) => {
            let uri = format!("file:{}?immutable=1", percent_encoded(path));
            Ok((Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?, true))
        }
        _ => Ok((connection, false)),
    }
}

/// Whether the file's journal holds anything.
fn has_journal(path: &Path) -> bool {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    std::fs::metadata(journal).is_ok_and(|journal| journal.len() > 0)
}

fn percent_encoded(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let encoded = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    path.as_os_str().as_encoded_bytes().iter().map(|byte| encoded(*byte)).collect()
}

fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) if bytes.len() <= MESSAGE_LIMIT => bytes,
        _ => &[],
    }
}

struct OpenSqlite {
    shown: PathBuf,
    connection: Connection,
}

impl Messages for OpenSqlite {
    fn read(&mut self, location: MessageLocation) -> Result<Vec<u8>, BagError> {
        let MessageLocation::Row(id) = location else { return Err(BagError::changed(&self.shown)) };
        let read = (self.connection).query_row("SELECT data FROM messages WHERE id = ?1", [id], |row| {
            Ok(bytes(row.get_ref(0)?).to_vec())
        });
        read.map_err(|source| match source {
            rusqlite::Error::QueryReturnedNoRows => BagError::changed(&self.shown),
            source => BagError::Sqlite { file: self.shown.display().to_string(), source },
        })
    }
}
