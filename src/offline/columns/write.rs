use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, Repetition, Type as Physical};
use parquet::data_type::{FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::ColumnsError;
use crate::files::{self, Unfinished};

/// A row group ends here whatever the input, so that the same rows make the same bytes.
pub(crate) const GROUP: usize = 1 << 20;

/// Values of one column, none missing.
pub(crate) enum Column<'a> {
    I64(&'a [i64]),
    F32(&'a [f32]),
}

/// Writes columns of one length, and the file's metadata. The file appears at its place when it is whole.
///
/// # Errors
/// A folder that cannot be written to.
pub(crate) fn write(
    file: &Path,
    columns: &[(&str, Column<'_>)],
    metadata: &[(&str, String)],
) -> Result<(), ColumnsError> {
    let shown = file.display().to_string();
    let bytes =
        encode(columns, metadata).map_err(|source| ColumnsError::Encode { file: shown.clone(), source })?;
    files::write(file, &bytes).map_err(|source| ColumnsError::Write { file: shown, source })
}

fn encode(columns: &[(&str, Column<'_>)], metadata: &[(&str, String)]) -> Result<Vec<u8>, ParquetError> {
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema(columns)?, properties(metadata))?;
    for start in (0..rows).step_by(GROUP) {
        write_group(&mut writer, columns, start..rows.min(start + GROUP))?;
    }
    writer.into_inner()
}

fn write_group<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    columns: &[(&str, Column<'_>)],
    range: Range<usize>,
) -> Result<(), ParquetError> {
    // Columns may be null in the schema, as data frames write them; none of these values is.
    let defined = vec![1; range.len()];
    let mut group = writer.next_row_group()?;
    for (_, column) in columns {
        let Some(mut out) = group.next_column()? else { break };
        match column {
            Column::I64(values) => out.typed::<Int64Type>().write_batch(
                values.get(range.clone()).unwrap_or_default(),
                Some(&defined),
                None,
            )?,
            Column::F32(values) => out.typed::<FloatType>().write_batch(
                values.get(range.clone()).unwrap_or_default(),
                Some(&defined),
                None,
            )?,
        };
        out.close()?;
    }
    group.close()?;
    Ok(())
}

/// A file that is written one row group after the other, and appears at its place when it is finished.
pub(crate) struct Writer {
    shown: String,
    inner: SerializedFileWriter<Unfinished>,
}

impl Writer {
    /// Begins a file with the columns of `like`, whose values do not matter.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn begin(
        file: &Path,
        like: &[(&str, Column<'_>)],
        metadata: &[(&str, String)],
    ) -> Result<Self, ColumnsError> {
        let shown = file.display().to_string();
        let unfinished =
            Unfinished::beside(file).map_err(|source| ColumnsError::Write { file: shown.clone(), source })?;
        let encode = |source| ColumnsError::Encode { file: shown.clone(), source };
        let schema = schema(like).map_err(encode)?;
        let inner = SerializedFileWriter::new(unfinished, schema, properties(metadata)).map_err(encode)?;
        Ok(Self { shown, inner })
    }

    /// Writes a row group: [`GROUP`] rows, or the rest.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn group(&mut self, columns: &[(&str, Column<'_>)]) -> Result<(), ColumnsError> {
        let rows = columns.first().map_or(0, |(_, column)| column.len());
        write_group(&mut self.inner, columns, 0..rows)
            .map_err(|source| ColumnsError::Encode { file: self.shown.clone(), source })
    }

    /// # Errors
    /// What the file system refuses.
    pub fn finish(self) -> Result<(), ColumnsError> {
        let Self { shown, inner } = self;
        let unfinished =
            inner.into_inner().map_err(|source| ColumnsError::Encode { file: shown.clone(), source })?;
        unfinished.finish().map_err(|source| ColumnsError::Write { file: shown, source })
    }
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Self::I64(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    fn kind(&self) -> Physical {
        match self {
            Self::I64(_) => Physical::INT64,
            Self::F32(_) => Physical::FLOAT,
        }
    }
}

fn schema(columns: &[(&str, Column<'_>)]) -> Result<Arc<Type>, ParquetError> {
    let field = |(name, column): &(&str, Column<'_>)| {
        let builder = Type::primitive_type_builder(name, column.kind());
        Ok(Arc::new(builder.with_repetition(Repetition::OPTIONAL).build()?))
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, ParquetError>>()?;
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?))
}

fn properties(metadata: &[(&str, String)]) -> WriterPropertiesPtr {
    let entry = |(key, value): &(&str, String)| KeyValue::new((*key).to_owned(), value.clone());
    let properties = WriterProperties::builder()
        .set_created_by(concat!("topreward ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP))
        .set_key_value_metadata(Some(metadata.iter().map(entry).collect()));
    Arc::new(properties.build())
}
