//! Columns of parquet files: the few kinds that datasets of recordings and their labels have, read and written without
//! a data frame.

mod read;
mod write;

/// Bytes of a column; they share the file's page and are cheap to clone.
pub(crate) use parquet::data_type::ByteArray as Bytes;
pub(crate) use read::Table;
pub(crate) use write::{Column, write};

/// Why a parquet file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    #[error("there is no file {0}")]
    Absent(String),
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("cannot write {file}: {source}")]
    Write { file: String, source: std::io::Error },
    #[error("{file} is no parquet file or is damaged: {reason}")]
    Damaged { file: String, reason: String },
    #[error("{file} says that it has {rows} rows; at most {most} are read", most = read::MOST_ROWS)]
    TooLong { file: String, rows: i64 },
    #[error("{file} has no column \"{column}\"; it has {has}")]
    NoColumn { file: String, column: String, has: String },
    #[error("the column \"{column}\" of {file} holds {found} where {wanted} are needed")]
    Kind { file: String, column: String, found: String, wanted: &'static str },
    #[error("the column \"{column}\" of {file} has no value in row {row}")]
    Null { file: String, column: String, row: usize },
    #[error("the column \"{column}\" of {file} ends after {found} of {rows} rows")]
    Short { file: String, column: String, found: usize, rows: usize },
    #[error("cannot write the parquet file {file}: {reason}")]
    Encode { file: String, reason: String },
}
