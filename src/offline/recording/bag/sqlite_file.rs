//! SQLite files of rosbag2, opened for reading alone: also while a recorder writes, or with what one that was killed has
//! left in the journal beside the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::limits::Limit;
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
        if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
            return BagError::NoBag { path: self.shown.display().to_string(), reason: told(&error) };
        }
        BagError::Sqlite { file: self.shown.display().to_string(), source: error }
    }

    /// The topics by their number in the file.
    fn topics(&self, connection: &Connection, index: &mut Index) -> Result<HashMap<i64, usize>, BagError> {
        if !has_tables(connection).map_err(|error| self.failed(error))? {
            let reason = "it is a database, but not one of rosbag2 (no tables \"topics\" and \"messages\" as rosbag2 makes \
                          them)"
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
            "SELECT rowid, topic_id, timestamp, CASE WHEN topic_id IN ({}) THEN data END FROM messages ORDER BY rowid",
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
        if alone && size(&journal(&self.path)) > 0 {
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
                "{shown}: the file is truncated or damaged ({}); the {count} messages before that are used",
                told(&error)
            ));
        }
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Messages>, BagError> {
        let (connection, _) = connect(&self.path).map_err(|error| self.failed(error))?;
        Ok(Box::new(OpenSqlite { shown: self.shown.clone(), connection }))
    }
}

/// Whether there are rosbag2's tables: stored ones, since a view or a computed column makes any work of a few bytes.
fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let count = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0));
    let tables = count(
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND rootpage > 0 AND name IN ('topics', 'messages')",
    )?;
    let columns = count(
        "SELECT COUNT(*) FROM pragma_table_info('topics') \
         WHERE name IN ('id', 'name', 'type', 'serialization_format')",
    )?;
    let computed = count(
        "SELECT (SELECT COUNT(*) FROM pragma_table_xinfo('topics') WHERE hidden <> 0) \
         + (SELECT COUNT(*) FROM pragma_table_xinfo('messages') WHERE hidden <> 0)",
    )?;
    Ok(tables == 2 && columns == 4 && computed == 0)
}

/// Steps of SQLite's machine between two looks at their number.
const STEPS: u64 = 1000;

/// Lets SQLite do only the work that reading a file of so many bytes can take, from now on. Nothing in it is a value longer
/// than a message.
fn bound_work(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::try_from(MESSAGE_LIMIT).unwrap_or(i32::MAX))?;
    let (mut looks, most) = (0, STEPS + bytes.saturating_mul(16) / STEPS);
    let count = move || {
        looks += 1;
        looks > most
    };
    connection.progress_handler(STEPS as i32, Some(count))
}

/// What the error of a reading means.
fn told(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => "it asks for more work than its size can hold".to_owned(),
        Some(ErrorCode::TooBig) => format!("it holds a value of more than {} MiB", MESSAGE_LIMIT >> 20),
        _ => error.to_string(),
    }
}

/// Reads with what lies in the journal. In a folder that cannot be written to, SQLite can do so only where the recorder
/// has left its index of the journal; else the file alone is read, which the second value shows.
fn connect(path: &Path) -> rusqlite::Result<(Connection, bool)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let bytes = size(path).saturating_add(size(&journal(path)));
    let connection = Connection::open_with_flags(path, flags)?;
    bound_work(&connection, bytes)?;
    let tried = connection.query_row("SELECT COUNT(*) FROM sqlite_master", [], |_| Ok(()));
    match tried.as_ref().map_err(rusqlite::Error::sqlite_error_code) {
        Err(Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) => {
            let uri = format!("file:{}?immutable=1", percent_encoded(path));
            let connection = Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?;
            bound_work(&connection, bytes)?;
            Ok((connection, true))
        }
        _ => Ok((connection, false)),
    }
}

/// Where the file's journal lies.
fn journal(path: &Path) -> PathBuf {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    journal.into()
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
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
        // A message by itself: as much work as a megabyte.
        let failed = |source| BagError::Sqlite { file: self.shown.display().to_string(), source };
        bound_work(&self.connection, 1 << 20).map_err(failed)?;
        let read = (self.connection).query_row("SELECT data FROM messages WHERE rowid = ?1", [id], |row| {
            Ok(bytes(row.get_ref(0)?).to_vec())
        });
        read.map_err(|source| match source {
            rusqlite::Error::QueryReturnedNoRows => BagError::changed(&self.shown),
            source => BagError::Sqlite { file: self.shown.display().to_string(), source },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_by_the_size_of_the_file() {
        let connection = Connection::open_in_memory().unwrap();
        let count = |most: i64| {
            let counting = format!(
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT {most}) SELECT COUNT(*) FROM n"
            );
            connection.query_row(&counting, [], |row| row.get::<_, i64>(0))
        };
        bound_work(&connection, 10_000).unwrap();
        assert_eq!(count(10_000).unwrap(), 10_000);
        let error = count(10_000_000).unwrap_err();
        assert!(told(&error).contains("more work"), "{error}");
        bound_work(&connection, 100_000_000).unwrap();
        assert_eq!(count(1_000_000).unwrap(), 1_000_000);
        let long = connection.query_row("SELECT zeroblob(400000000)", [], |_| Ok(()));
        assert!(told(&long.unwrap_err()).contains("256 MiB"));
    }
}
