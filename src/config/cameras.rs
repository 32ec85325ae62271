//! The cameras among the parameters: which there are, and where their images come from.

use serde::{Deserialize, Serialize};

use super::Config;

/// How images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// `sensor_msgs/Image`
    Raw,
    /// `sensor_msgs/CompressedImage`
    Compressed,
}

/// One camera's parameters; empty ones follow the rule for all cameras.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Camera {
    /// The topic of its raw images; compressed ones are at `<topic>/compressed`, as image_transport has it.
    pub topic: String,
    pub transport: OwnTransport,
}

/// A camera's own transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnTransport {
    /// That of `image.transport`.
    #[default]
    #[serde(rename = "")]
    Shared,
    Raw,
    Compressed,
}

/// Where one camera's images come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraSource {
    pub name: String,
    /// The topic to subscribe to.
    pub topic: String,
    pub transport: Transport,
}

impl Config {
    /// The cameras in the order of `cameras`.
    pub fn camera_sources(&self) -> Vec<CameraSource> {
        self.cameras.iter().map(|name| self.camera_source(name)).collect()
    }

    fn camera_source(&self, name: &str) -> CameraSource {
        let own = self.camera.get(name).cloned().unwrap_or_default();
        let transport = match own.transport {
            OwnTransport::Shared => self.image.transport,
            OwnTransport::Raw => Transport::Raw,
            OwnTransport::Compressed => Transport::Compressed,
        };
        let mut topic = match (own.topic.is_empty(), self.cameras.len()) {
            (false, _) => own.topic,
            (true, 1) => "image_raw".to_owned(),
            (true, _) => format!("{name}/image_raw"),
        };
        if transport == Transport::Compressed {
            topic += "/compressed";
        }
        CameraSource { name: name.to_owned(), topic, transport }
    }

    /// As it is, with an entry in `camera` for each camera.
    pub(super) fn with_every_camera(&self) -> Self {
        let mut whole = self.clone();
        for name in &self.cameras {
            whole.camera.entry(name.clone()).or_default();
        }
        whole
    }

    /// Drops what is said of cameras that are not in use, and entries that say nothing.
    pub(super) fn forget_idle_cameras(&mut self) {
        let Self { cameras, camera, .. } = self;
        camera.retain(|name, own| cameras.contains(name) && *own != Camera::default());
    }
}

/// Names become parts of topics and parameters.
pub(super) fn check_names(names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Err("it is empty: name at least one camera".to_owned());
    }
    for (index, name) in names.iter().enumerate() {
        let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !fits {
            return Err(format!(
                "\"{name}\" is no camera name: use a lower-case letter, then letters, digits and _"
            ));
        }
        if names[..index].contains(name) {
            return Err(format!("\"{name}\" stands there twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(config: &Config) -> Vec<String> {
        config.camera_sources().into_iter().map(|source| source.topic).collect()
    }

    #[test]
    fn topics_follow_the_names_where_they_are_not_given() {
        let mut config = Config::default();
        assert_eq!(topics(&config), ["image_raw"]);
        config.image.transport = Transport::Compressed;
        assert_eq!(topics(&config), ["image_raw/compressed"]);
        config.cameras = vec!["wrist".into(), "front".into()];
        let own = Camera { topic: "/usb_cam/image".into(), transport: OwnTransport::Raw };
        config.camera.insert("front".into(), own);
        assert_eq!(topics(&config), ["wrist/image_raw/compressed", "/usb_cam/image"]);
    }
}
