//! An episode's pictures, held against its rows.

use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::LeRobotError;
use super::boundary::Boundary;
use super::episodes::EpisodeMeta;
use super::info::Info;
use super::rows::Rows;
use crate::episode::CameraFrame;
use crate::episode::image::{ImageError, decode_picture};
use crate::offline::columns::{Bytes, Table};
use crate::offline::recording::{Footage, RecordingError, Video};

/// What is played: one camera of one episode.
pub(super) struct Recorded {
    pub folder: PathBuf,
    pub info: Info,
    pub entry: EpisodeMeta,
    pub camera: String,
}

/// The frames of a video, which is the episode's own or shared by several.
pub(super) struct VideoFootage(pub Recorded);

/// Pictures in the data file, or beside it.
pub(super) struct ImageFootage(pub Recorded);

impl Recorded {
    fn data_file(&self) -> Result<PathBuf, LeRobotError> {
        self.entry.data_file(&self.folder, &self.info)
    }

    fn rows(&self, file: &Path) -> Result<Rows, LeRobotError> {
        Rows::read(file, &self.entry, self.info.fps)
    }
}

impl Footage for VideoFootage {
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
        let Self(recorded) = self;
        let rows = recorded.rows(&recorded.data_file()?)?;
        let (file, boundary) = recorded.entry.video(&recorded.folder, &recorded.info, &recorded.camera)?;
        let mut matching = Matching::new(&file, recorded.entry.index, &rows, recorded.info.fps);
        let mut seen_enough = false;
        let video = part(&file, recorded.entry.index, boundary, recorded.info.fps)?;
        video.play(&mut |frame| match matching.next(frame) {
            Some(frame) => {
                seen_enough = show(frame).is_break();
                if seen_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            None => ControlFlow::Continue(()),
        })?;
        if seen_enough { Ok(()) } else { Ok(matching.end()?) }
    }
}

/// The frames of a file that belong to an episode. Its span begins half a frame early: sums of durations, as the
/// dataset has them, are not exact.
fn part(file: &Path, episode: u64, boundary: Option<Boundary>, fps: f64) -> Result<Video, RecordingError> {
    let video = Video::open(file)?;
    let half_s = 0.5 / fps;
    let Some(boundary) = boundary else { return Ok(video) };
    let in_video = || Ok::<_, RecordingError>(video.stream()?.packets(file)?.stamps_ns.len());
    let (from_s, to_s) = boundary.span(file, episode, fps, in_video)?;
    Ok(video.between(from_s - half_s, to_s - half_s)?)
}

/// Gives the frames of a video the stamps of the rows that they belong to.
struct Matching<'a> {
    file: &'a Path,
    episode: u64,
    rows: &'a Rows,
    fps: f64,
    first_ns: i64,
    /// Frames that the video has had, also those that have no row.
    frames: usize,
    problem: Option<LeRobotError>,
}

impl<'a> Matching<'a> {
    fn new(file: &'a Path, episode: u64, rows: &'a Rows, fps: f64) -> Self {
        Self { file, episode, rows, fps, first_ns: 0, frames: 0, problem: None }
    }

    /// The video's next frame, unless something was wrong with it or one before it.
    fn next(&mut self, mut frame: CameraFrame) -> Option<CameraFrame> {
        let number = self.frames;
        self.frames += 1;
        let (stamp_ns, start_ns) = (*self.rows.stamp_ns.get(number)?, *self.rows.stamp_ns.first()?);
        if number == 0 {
            self.first_ns = frame.stamp_ns;
        }
        let found_s = frame.stamp_ns.saturating_sub(self.first_ns) as f64 / 1e9;
        let expected_s = stamp_ns.saturating_sub(start_ns) as f64 / 1e9;
        if self.problem.is_none() && (found_s - expected_s).abs() > 0.5 / self.fps {
            let (file, episode) = (self.file.display().to_string(), self.episode);
            let problem = LeRobotError::FrameTime { file, episode, frame: number, found_s, expected_s };
            self.problem = Some(problem);
        }
        frame.stamp_ns = stamp_ns;
        self.problem.is_none().then_some(frame)
    }

    /// Whether every row had its frame and every frame its row. A wrong number says more than a wrong time.
    fn end(self) -> Result<(), LeRobotError> {
        let (found, expected) = (self.frames, self.rows.len());
        if found != expected {
            let (file, episode) = (self.file.display().to_string(), self.episode);
            return Err(LeRobotError::FrameCount { file, episode, found, expected });
        }
        self.problem.map_or(Ok(()), Err)
    }
}

/// Pictures that are held at a time.
const BATCH: usize = 64;

impl Footage for ImageFootage {
    fn play(&self, show: &mut dyn FnMut(CameraFrame) -> ControlFlow<()>) -> Result<(), RecordingError> {
        let Self(recorded) = self;
        let file = recorded.data_file()?;
        let rows = recorded.rows(&file)?;
        let table = Table::open(&file).map_err(LeRobotError::from)?;
        for first in (0..rows.len()).step_by(BATCH) {
            let stamps_ns = &rows.stamp_ns[first..rows.len().min(first + BATCH)];
            let pictures = recorded.pictures(&table, rows.start + first, stamps_ns.len())?;
            for (row, (picture, stamp_ns)) in pictures.into_iter().zip(stamps_ns).enumerate() {
                let picture = picture.ok_or_else(|| LeRobotError::NoPicture {
                    file: file.display().to_string(),
                    episode: recorded.entry.index,
                    frame: first + row,
                })?;
                let decode = move || picture.decode();
                if show(CameraFrame::new(*stamp_ns, Arc::from(""), None, decode)).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Recorded {
    /// The camera's pictures in `count` rows of a data file.
    fn pictures(
        &self,
        table: &Table,
        start: usize,
        count: usize,
    ) -> Result<Vec<Option<Picture>>, LeRobotError> {
        let bytes = table.bytes(&self.camera, "bytes", start..start + count)?;
        if bytes.iter().all(Option::is_some) {
            return Ok(bytes.into_iter().map(|bytes| bytes.map(Picture::Bytes)).collect());
        }
        let names = table.bytes(&self.camera, "path", start..start + count)?;
        let beside = |name: Bytes| Picture::beside(&self.folder, name.data());
        let either =
            |(bytes, name): (Option<Bytes>, Option<Bytes>)| bytes.map(Picture::Bytes).or(name.map(beside));
        Ok(bytes.into_iter().zip(names).map(either).collect())
    }
}

/// A PNG or JPEG picture.
enum Picture {
    Bytes(Bytes),
    File(PathBuf),
}

impl Picture {
    /// A picture that the data file only names. The name may be absolute, of the machine that recorded; it must not lead
    /// out of the dataset.
    fn beside(folder: &Path, name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        let inner = name.find("images/").map_or(&*name, |start| &name[start..]);
        let parts = Path::new(inner).components().filter(|part| matches!(part, Component::Normal(_)));
        Self::File(folder.join(parts.collect::<PathBuf>()))
    }

    fn decode(self) -> Result<::image::RgbImage, ImageError> {
        match self {
            Self::Bytes(bytes) => decode_picture(bytes.data()),
            Self::File(file) => {
                let refuse = |reason: String| ImageError::File { file: file.display().to_string(), reason };
                let bytes = std::fs::read(&file).map_err(|error| refuse(error.to_string()))?;
                decode_picture(&bytes).map_err(|error| refuse(error.to_string()))
            }
        }
    }
}
