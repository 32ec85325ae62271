//! Columns of parquet files: the few kinds that datasets of recordings and their labels have, read and written without
//! a data frame.

mod read;
mod write;

use parquet::errors::ParquetError;

/// Bytes of a column; they share the file's page and are cheap to clone.
pub(crate) use parquet::data_type::ByteArray as Bytes;
pub(crate) use read::Table;
pub(crate) use write::{Column, GROUP, Writer, write};

/// Why a parquet file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    #[error("there is no file {0}")]
    Absent(String),
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("cannot write {file}: {source}")]
    Write { file: String, source: std::io::Error },
    #[error(
        "{0} is cut short or was never finished: it begins as a parquet file and has no end (its footer), so that nothing of it can be read"
    )]
    Unfinished(String),
    #[error("{file} is not a parquet file or is damaged: {source}")]
    Damaged { file: String, source: Damage },
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
    #[error("cannot write the parquet file {file}: {source}")]
    Encode { file: String, source: ParquetError },
}

/// What is wrong with a file that should be parquet.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The library's reason, on one line.
    #[error("{}", .0.to_string().split_whitespace().collect::<Vec<_>>().join(" "))]
    Parquet(#[from] ParquetError),
    #[error("its reader gave up")]
    Panic,
    #[error("it has {0} rows")]
    Rows(i64),
    #[error("its columns lie outside the file")]
    Outside,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.parquet");
        let columns =
            [("n", Column::I64(&[3, -1, i64::MAX, 3, 0])), ("x", Column::F32(&[0.5, 1.0, -2.0, 0.0, 1.5]))];
        write(&file, &columns, &[("key", "a value".to_owned())]).unwrap();
        let table = Table::open(&file).unwrap();
        assert_eq!(
            (table.rows(), table.metadata("key"), table.metadata("other")),
            (5, Some("a value"), None)
        );
        assert_eq!(table.integers("n", 1..4).unwrap(), [-1, i64::MAX, 3]);
        assert_eq!(table.numbers("x", 3..5).unwrap(), [0.0, 1.5]);
        assert_eq!(table.numbers("n", 0..2).unwrap(), [3.0, -1.0]);
        assert_eq!(table.rows_with("n", 3).unwrap(), 0..4);
        assert!(table.rows_with("n", 7).unwrap().is_empty());
        let short = table.integers("n", 3..9).unwrap_err().to_string();
        assert!(short.contains("after 2 of 6 rows"), "{short}");
        let kind = table.integers("x", 0..1).unwrap_err().to_string();
        assert!(kind.contains("FLOAT where whole numbers"), "{kind}");
        let none = table.texts("task").unwrap_err().to_string();
        assert!(none.contains("no column \"task\"; it has n, x"), "{none}");
    }

    #[test]
    fn every_usual_compression_is_read() {
        use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
        use parquet::data_type::Int64Type;
        use parquet::file::properties::WriterProperties;
        use parquet::file::writer::SerializedFileWriter;
        use parquet::schema::parser::parse_message_type;
        use std::sync::Arc;

        let folder = tempfile::tempdir().unwrap();
        let schema = Arc::new(parse_message_type("message m { required int64 n; }").unwrap());
        let numbers: Vec<i64> = (0..1000).map(|i| i * i - 7).collect();
        for (number, compression) in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::BROTLI(BrotliLevel::default()),
            Compression::ZSTD(ZstdLevel::default()),
            Compression::LZ4,
            Compression::LZ4_RAW,
        ]
        .into_iter()
        .enumerate()
        {
            let file = folder.path().join(format!("{number}.parquet"));
            let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
            let opened = std::fs::File::create(&file).unwrap();
            let mut writer = SerializedFileWriter::new(opened, schema.clone(), properties).unwrap();
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<Int64Type>().write_batch(&numbers, None, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
            writer.close().unwrap();
            let read = Table::open(&file).unwrap().integers("n", 0..1000).unwrap();
            assert_eq!(read, numbers, "{compression:?}");
        }
    }

    #[test]
    fn what_is_no_parquet_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.parquet");
        let message = || Table::open(&file).err().unwrap().to_string();
        assert!(message().contains("no file") && message().contains("t.parquet"));
        for bytes in [&b""[..], b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1", &[0; 100]] {
            std::fs::write(&file, bytes).unwrap();
            assert!(message().contains("not a parquet file"), "{}", message());
        }
        // What a killed recorder leaves.
        std::fs::write(&file, [b"PAR1".as_slice(), &[7; 100]].concat()).unwrap();
        assert!(message().contains("never finished"), "{}", message());
        let nowhere = write(&folder.path().join("no/such/t.parquet"), &[("n", Column::I64(&[1]))], &[]);
        assert!(nowhere.unwrap_err().to_string().contains("cannot write"));
    }
}
