//! The cameras among the parameters: which there are, and where their images come from.

use std::collections::BTreeMap;

use super::choices::Transport;
use crate::episode::StampSource;

/// One camera's parameters; empty ones follow the rule for all cameras.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Camera {
    /// The topic of its raw images; compressed ones are at `<topic>/compressed`, as image_transport has it.
    pub topic: String,
    /// `None`: that of `image.transport`.
    pub transport: Option<Transport>,
    /// Where the times of its images come from.
    pub stamps: StampSource,
}

/// Where one camera's images come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraSource {
    pub name: String,
    /// The topic to subscribe to.
    pub topic: String,
    pub transport: Transport,
    pub stamps: StampSource,
}

/// Where the images of each camera come from, in the order of `names`. `own` has what differs from the
/// defaults, `shared` is the transport of all others.
pub(super) fn sources(
    names: &[String],
    own: &BTreeMap<String, Camera>,
    shared: Transport,
) -> Vec<CameraSource> {
    let source = |name: &String| {
        let Camera { mut topic, transport, stamps } = own.get(name).cloned().unwrap_or_default();
        let transport = transport.unwrap_or(shared);
        if topic.is_empty() {
            topic = if names.len() == 1 { "image_raw".to_owned() } else { format!("{name}/image_raw") };
        }
        if transport == Transport::Compressed {
            topic += "/compressed";
        }
        CameraSource { name: name.clone(), topic, transport, stamps }
    };
    names.iter().map(source).collect()
}

/// What is wrong with the cameras' names.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum CameraNamesError {
    #[error("it is empty: name at least one camera")]
    NoCamera,
    #[error("\"{0}\" is no camera name: use a lower-case letter, then lower-case letters, digits and _")]
    NoName(String),
    #[error("\"{0}\" stands there twice")]
    Twice(String),
}

/// Names become parts of topics and parameters.
pub(super) fn check_names(names: &[String]) -> Result<(), CameraNamesError> {
    if names.is_empty() {
        return Err(CameraNamesError::NoCamera);
    }
    for (index, name) in names.iter().enumerate() {
        let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !fits {
            return Err(CameraNamesError::NoName(name.clone()));
        }
        if names[..index].contains(name) {
            return Err(CameraNamesError::Twice(name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_follow_the_names_where_they_are_not_given() {
        let topic = "/usb_cam/image".into();
        let own = Camera { topic, transport: Some(Transport::Raw), ..Camera::default() };
        let own = BTreeMap::from([("front".to_owned(), own)]);
        let topics = |names: &[&str], shared| -> Vec<String> {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            sources(&names, &own, shared).into_iter().map(|source| source.topic).collect()
        };
        assert_eq!(topics(&["camera"], Transport::Raw), ["image_raw"]);
        assert_eq!(topics(&["camera"], Transport::Compressed), ["image_raw/compressed"]);
        let both = topics(&["wrist", "front"], Transport::Compressed);
        assert_eq!(both, ["wrist/image_raw/compressed", "/usb_cam/image"]);
    }

    #[test]
    fn names_that_cannot_be_in_a_topic_are_refused() {
        let check =
            |names: &[&str]| check_names(&names.iter().map(|&name| name.to_owned()).collect::<Vec<String>>());
        assert_eq!(check(&["wrist", "front_2"]), Ok(()));
        assert_eq!(check(&[]), Err(CameraNamesError::NoCamera));
        assert_eq!(check(&["wrist", "wrist"]), Err(CameraNamesError::Twice("wrist".into())));
        for name in ["", "3d", "Wrist", "a.b", "a/b", "a b", "_a"] {
            assert_eq!(check(&[name]), Err(CameraNamesError::NoName(name.into())));
        }
    }
}
