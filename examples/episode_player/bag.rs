use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use r2r::WrappedTypesupport as _;
use r2r::sensor_msgs::msg::CompressedImage;

const CAMERA_TOPIC: &str = "/camera/image_raw/compressed";
/// The record in which a bag says what it shows.
const ABOUT: &str = "topreward_episode";

/// A recorded episode.
pub struct Bag {
    pub instruction: String,
    /// What happens in it: success, idle, halfway, miss, …
    pub kind: String,
    /// Whether the task is done at its end.
    pub success: bool,
    /// Time from one frame to the next.
    pub period: Duration,
    pub frames: Vec<CompressedImage>,
}

impl Bag {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path)?;
        let summary = mcap::Summary::read(&bytes)?.context("it has no summary section")?;
        let index = (summary.metadata_indexes.iter())
            .find(|index| index.name == ABOUT)
            .with_context(|| format!("it has no metadata record \"{ABOUT}\""))?;
        let about = mcap::read::metadata(&bytes, index)?.metadata;
        let field = |name: &str| about.get(name).with_context(|| format!("its record has no \"{name}\""));
        let fps: f64 = field("fps")?.parse().context("its fps")?;
        ensure!(fps > 0.0, "its fps is {fps}");
        let mut frames = Vec::new();
        for message in mcap::MessageStream::new(&bytes)? {
            let message = message?;
            if message.channel.topic == CAMERA_TOPIC {
                frames.push(CompressedImage::from_serialized_bytes(&message.data)?);
            }
        }
        if frames.is_empty() {
            bail!("it has no image on {CAMERA_TOPIC}");
        }
        Ok(Self {
            instruction: field("instruction")?.clone(),
            kind: field("kind")?.clone(),
            success: field("success")?.parse().context("its success")?,
            period: Duration::try_from_secs_f64(1.0 / fps)?,
            frames,
        })
    }
}
