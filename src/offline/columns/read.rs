use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray as Bytes, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;

use super::{ColumnsError, Damage};
use crate::files;

/// Rows of a file that are believed: two months of frames at 10 Hz. Run lengths make any number cheap to claim.
pub(super) const MOST_ROWS: i64 = 1 << 26;

/// Records that are read at a time.
const BATCH: usize = 1 << 14;

/// An open parquet file.
pub(crate) struct Table {
    shown: String,
    reader: SerializedFileReader<File>,
    rows: usize,
}

/// What a column's reader gives: values of the records that have one, and the levels that show which.
struct Leaf<T> {
    values: Vec<T>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}

impl<T> Default for Leaf<T> {
    fn default() -> Self {
        Self { values: Vec::new(), definitions: Vec::new(), repetitions: Vec::new() }
    }
}

/// What a parquet file begins with, and ends with once it is finished.
const MAGIC: [u8; 4] = *b"PAR1";

fn is_unfinished(file: &File, bytes: u64) -> bool {
    let four = |at: u64| {
        let mut four = [0; 4];
        file.read_exact_at(&mut four, at).ok().map(|()| four)
    };
    four(0) == Some(MAGIC) && four(bytes.saturating_sub(4)) != Some(MAGIC)
}

impl Table {
    /// # Errors
    /// No such file, or none that its footer describes.
    pub fn open(file: &Path) -> Result<Self, ColumnsError> {
        let shown = file.display().to_string();
        let opened = files::open(file).map_err(|source| match source.kind() {
            ErrorKind::NotFound => ColumnsError::Absent(shown.clone()),
            _ => ColumnsError::Read { file: shown.clone(), source },
        })?;
        let bytes =
            opened.metadata().map_err(|source| ColumnsError::Read { file: shown.clone(), source })?.len();
        let damaged = |source| ColumnsError::Damaged { file: shown.clone(), source };
        if is_unfinished(&opened, bytes) {
            return Err(ColumnsError::Unfinished(shown));
        }
        let reader = guarded(|| SerializedFileReader::new(opened)).map_err(damaged)?;
        let rows = reader.metadata().file_metadata().num_rows();
        if rows > MOST_ROWS {
            return Err(ColumnsError::TooLong { file: shown, rows });
        }
        let Ok(rows) = usize::try_from(rows) else { return Err(damaged(Damage::Rows(rows))) };
        if !reader.metadata().row_groups().iter().all(|group| lies_within(group, bytes)) {
            return Err(damaged(Damage::Outside));
        }
        Ok(Self { shown, reader, rows })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A value of the file's own metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let entries = self.reader.metadata().file_metadata().key_value_metadata()?;
        entries.iter().find(|entry| entry.key == key)?.value.as_deref()
    }

    /// Whether there is a column of this name.
    pub fn has(&self, column: &str) -> bool {
        self.leaf(column, None).is_some()
    }

    /// A column of whole numbers, in a range of rows.
    pub fn integers(&self, column: &str, rows: Range<usize>) -> Result<Vec<i64>, ColumnsError> {
        let leaf = self.required(column)?;
        match self.kind(leaf) {
            Type::INT64 => self.flat(column, leaf, rows, |reader, skip, take, into| match reader {
                ColumnReader::Int64ColumnReader(reader) => fill(reader, skip, take, into),
                _ => Ok(0),
            }),
            Type::INT32 => {
                let narrow: Vec<i32> =
                    self.flat(column, leaf, rows, |reader, skip, take, into| match reader {
                        ColumnReader::Int32ColumnReader(reader) => fill(reader, skip, take, into),
                        _ => Ok(0),
                    })?;
                Ok(narrow.into_iter().map(i64::from).collect())
            }
            found => Err(self.wrong_kind(column, found, "whole numbers")),
        }
    }

    /// A column of numbers of any kind, in a range of rows.
    pub fn numbers(&self, column: &str, rows: Range<usize>) -> Result<Vec<f64>, ColumnsError> {
        let leaf = self.required(column)?;
        match self.kind(leaf) {
            Type::DOUBLE => self.flat(column, leaf, rows, |reader, skip, take, into| match reader {
                ColumnReader::DoubleColumnReader(reader) => fill(reader, skip, take, into),
                _ => Ok(0),
            }),
            Type::FLOAT => {
                let narrow: Vec<f32> =
                    self.flat(column, leaf, rows, |reader, skip, take, into| match reader {
                        ColumnReader::FloatColumnReader(reader) => fill(reader, skip, take, into),
                        _ => Ok(0),
                    })?;
                Ok(narrow.into_iter().map(f64::from).collect())
            }
            // Data frames write a column of seconds as whole numbers where all of them are whole.
            Type::INT32 | Type::INT64 => {
                Ok(self.integers(column, rows)?.into_iter().map(|number| number as f64).collect())
            }
            found => Err(self.wrong_kind(column, found, "numbers")),
        }
    }

    /// A column of texts, or of lists of them: each row's, in order.
    pub fn texts(&self, column: &str) -> Result<Vec<Vec<String>>, ColumnsError> {
        let leaf = self.required(column)?;
        let (read, most) = self.read_bytes(leaf, 0..self.rows)?;
        let mut rows = Vec::new();
        let mut values = read.values.iter();
        let levels = read.definitions.len().max(read.values.len());
        for level in 0..levels {
            if read.repetitions.get(level).is_none_or(|repetition| *repetition == 0) {
                rows.push(Vec::new());
            }
            if read.definitions.get(level).is_none_or(|definition| *definition == most)
                && let (Some(row), Some(value)) = (rows.last_mut(), values.next())
            {
                row.push(String::from_utf8_lossy(value.data()).into_owned());
            }
        }
        match rows.len() == self.rows {
            true => Ok(rows),
            false => Err(self.short(column, rows.len(), self.rows)),
        }
    }

    /// The bytes in the field of a column of structures, in a range of rows; `None` where a row has none.
    pub fn bytes(
        &self,
        column: &str,
        field: &str,
        rows: Range<usize>,
    ) -> Result<Vec<Option<Bytes>>, ColumnsError> {
        let name = format!("{column}.{field}");
        let leaf = self.leaf(column, Some(field)).ok_or_else(|| self.no_column(&name))?;
        let expected = rows.len();
        let (read, most) = self.read_bytes(leaf, rows)?;
        let mut values = read.values.into_iter();
        let bytes: Vec<Option<Bytes>> = match read.definitions.is_empty() {
            true => values.map(Some).collect(),
            false => {
                let present = |definition: i16| if definition == most { values.next() } else { None };
                read.definitions.into_iter().map(present).collect()
            }
        };
        match bytes.len() == expected {
            true => Ok(bytes),
            false => Err(self.short(&name, bytes.len(), expected)),
        }
    }

    /// The rows from the first to the last at which a column of whole numbers has this value.
    pub fn rows_with(&self, column: &str, value: i64) -> Result<Range<usize>, ColumnsError> {
        let leaf = self.required(column)?;
        let mut found: Option<Range<usize>> = None;
        let mut start = 0;
        for group in self.reader.metadata().row_groups() {
            let end = start + usize::try_from(group.num_rows()).unwrap_or_default();
            let bounds = match group.columns().get(leaf).and_then(|column| column.statistics()) {
                Some(Statistics::Int64(bounds)) => bounds.min_opt().zip(bounds.max_opt()),
                _ => None,
            };
            if bounds.is_none_or(|(least, most)| (*least..=*most).contains(&value)) {
                let numbers = self.integers(column, start..end)?;
                for row in numbers.iter().enumerate().filter(|(_, number)| **number == value) {
                    let row = start + row.0;
                    found = Some(found.map_or(row..row + 1, |found| found.start..row + 1));
                }
            }
            start = end;
        }
        Ok(found.unwrap_or(0..0))
    }

    /// The place of a column without parts, or of a field in a column of structures, or of a list's elements.
    fn leaf(&self, column: &str, field: Option<&str>) -> Option<usize> {
        let columns = self.reader.metadata().file_metadata().schema_descr().columns();
        columns.iter().position(|leaf| match (leaf.path().parts(), field) {
            ([name, field], Some(wanted)) => name == column && field == wanted,
            ([name] | [name, _, _], None) => name == column,
            _ => false,
        })
    }

    fn required(&self, column: &str) -> Result<usize, ColumnsError> {
        self.leaf(column, None).ok_or_else(|| self.no_column(column))
    }

    fn kind(&self, leaf: usize) -> Type {
        self.reader.metadata().file_metadata().schema_descr().column(leaf).physical_type()
    }

    fn read_bytes(&self, leaf: usize, rows: Range<usize>) -> Result<(Leaf<Bytes>, i16), ColumnsError> {
        let descriptor = self.reader.metadata().file_metadata().schema_descr().column(leaf);
        let found = descriptor.physical_type();
        if found != Type::BYTE_ARRAY {
            return Err(self.wrong_kind(&descriptor.path().string(), found, "texts or bytes"));
        }
        let read = self.read(leaf, rows, |reader, skip, take, into| match reader {
            ColumnReader::ByteArrayColumnReader(reader) => fill(reader, skip, take, into),
            _ => Ok(0),
        })?;
        Ok((read, descriptor.max_def_level()))
    }

    /// A value for each row, or which one has none.
    fn flat<T>(
        &self,
        column: &str,
        leaf: usize,
        rows: Range<usize>,
        take: impl Fn(&mut ColumnReader, usize, usize, &mut Leaf<T>) -> Result<usize, ParquetError>,
    ) -> Result<Vec<T>, ColumnsError> {
        let descriptor = self.reader.metadata().file_metadata().schema_descr().column(leaf);
        if descriptor.max_rep_level() > 0 {
            let (file, column) = (self.shown.clone(), column.to_owned());
            return Err(ColumnsError::Kind { file, column, found: "lists".to_owned(), wanted: "numbers" });
        }
        let (start, expected) = (rows.start, rows.len());
        let read = self.read(leaf, rows, take)?;
        let most = descriptor.max_def_level();
        if let Some(row) = read.definitions.iter().position(|definition| *definition != most) {
            let (file, column) = (self.shown.clone(), column.to_owned());
            return Err(ColumnsError::Null { file, column, row: start + row });
        }
        match read.values.len() == expected {
            true => Ok(read.values),
            false => Err(self.short(column, read.values.len(), expected)),
        }
    }

    /// Reads a column through all row groups that a range of rows touches.
    fn read<T>(
        &self,
        leaf: usize,
        rows: Range<usize>,
        take: impl Fn(&mut ColumnReader, usize, usize, &mut Leaf<T>) -> Result<usize, ParquetError>,
    ) -> Result<Leaf<T>, ColumnsError> {
        let mut into = Leaf::default();
        let mut start = 0;
        for group in 0..self.reader.num_row_groups() {
            let count = self.reader.metadata().row_group(group).num_rows();
            let end = start + usize::try_from(count).unwrap_or_default();
            let wanted = rows.start.max(start)..rows.end.min(end);
            if !wanted.is_empty() {
                let found = guarded(|| {
                    let mut reader = self.reader.get_row_group(group)?.get_column_reader(leaf)?;
                    take(&mut reader, wanted.start - start, wanted.len(), &mut into)
                });
                let damaged = |source| ColumnsError::Damaged { file: self.shown.clone(), source };
                if found.map_err(damaged)? < wanted.len() {
                    break;
                }
            }
            start = end;
        }
        Ok(into)
    }

    fn no_column(&self, column: &str) -> ColumnsError {
        let schema = self.reader.metadata().file_metadata().schema();
        let has: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
        // Statistics make hundreds of columns of some files.
        let more = has.len().saturating_sub(20);
        let mut has = has[..has.len() - more].join(", ");
        if more > 0 {
            has.push_str(&format!(" and {more} more"));
        }
        ColumnsError::NoColumn { file: self.shown.clone(), column: column.to_owned(), has }
    }

    fn wrong_kind(&self, column: &str, found: Type, wanted: &'static str) -> ColumnsError {
        let (file, column) = (self.shown.clone(), column.to_owned());
        ColumnsError::Kind { file, column, found: found.to_string(), wanted }
    }

    fn short(&self, column: &str, found: usize, rows: usize) -> ColumnsError {
        ColumnsError::Short { file: self.shown.clone(), column: column.to_owned(), found, rows }
    }
}

/// Adds `take` records that lie `skip` records ahead; fewer where the column ends.
fn fill<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    skip: usize,
    take: usize,
    into: &mut Leaf<T::T>,
) -> Result<usize, ParquetError> {
    reader.skip_records(skip)?;
    let mut taken = 0;
    while taken < take {
        let Leaf { values, definitions, repetitions } = into;
        let most = BATCH.min(take - taken);
        let (records, ..) = reader.read_records(most, Some(definitions), Some(repetitions), values)?;
        if records == 0 {
            break;
        }
        taken += records;
    }
    Ok(taken)
}

/// Whether a row group's columns are parts of a file of so many bytes, and not absurdly larger when unpacked. By hand: the
/// library trusts these numbers.
fn lies_within(group: &RowGroupMetaData, bytes: u64) -> bool {
    const MOST_UNPACKED: i64 = 1 << 32;
    let sound = |column: &ColumnChunkMetaData| {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let end = start.checked_add(column.compressed_size()).and_then(|end| u64::try_from(end).ok());
        start >= 0
            && column.data_page_offset() >= 0
            && column.compressed_size() >= 0
            && end.is_some_and(|end| end <= bytes)
            && (0..=MOST_UNPACKED).contains(&column.uncompressed_size())
    };
    (0..=MOST_ROWS).contains(&group.num_rows()) && group.columns().iter().all(sound)
}

/// Some of the library's checks of damaged files are panics; they are errors here.
fn guarded<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Damage> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Ok(done?),
        Err(_) => Err(Damage::Panic),
    }
}
