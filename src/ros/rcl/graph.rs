//! Who publishes what the node listens to, and whether it can arrive: an incompatible QoS or another message type is
//! silent in ROS 2, and r2r has no events for it.

use r2r::Node;
use r2r::qos::ReliabilityPolicy;

/// What rmw calls a publisher's node until it knows the name.
const NAME_UNKNOWN: &str = "_NODE_NAME_UNKNOWN_";

/// A subscription of the node.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Its full name.
    pub topic: String,
    /// As the graph writes it, e.g. `sensor_msgs/msg/Image`.
    pub message_type: &'static str,
    /// Whether it asks for reliable publishers.
    pub reliable: bool,
}

/// What the graph knows of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub topic: String,
    pub publishers: usize,
    /// Why messages of publishers do not arrive, a sentence each.
    pub obstacles: Vec<String>,
}

/// Asks the graph; a topic that it cannot be asked about is left out.
pub fn look(node: &Node, listening: &[Listening]) -> Vec<Seen> {
    let look_at = |one: &Listening| {
        let publishers = node.get_publishers_info_by_topic(&one.topic, false).ok()?;
        let obstacles = publishers
            .iter()
            // Rather a moment later than without a name.
            .filter(|publisher| publisher.node_name != NAME_UNKNOWN)
            .filter_map(|publisher| {
                let why = obstacle(one, &publisher.topic_type, &publisher.qos_profile.reliability)?;
                let from = publisher.node_namespace.trim_end_matches('/');
                let from = format!("{from}/{}", publisher.node_name);
                Some(format!("messages of {from} on {} cannot be received: it is {why}", one.topic))
            })
            .collect();
        Some(Seen { topic: one.topic.clone(), publishers: publishers.len(), obstacles })
    };
    listening.iter().filter_map(look_at).collect()
}

fn obstacle(listening: &Listening, message_type: &str, reliability: &ReliabilityPolicy) -> Option<String> {
    let wanted = listening.message_type;
    if message_type != wanted {
        return Some(format!("{message_type}, but this node subscribes to {wanted}"));
    }
    let best_effort = matches!(reliability, ReliabilityPolicy::BestEffort);
    (listening.reliable && best_effort)
        .then(|| "best effort, but this node subscribes as reliable".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_type_and_a_best_effort_publisher_are_obstacles() {
        let image = "sensor_msgs/msg/Image";
        let listening = |reliable| Listening { topic: "/image_raw".into(), message_type: image, reliable };
        let (best_effort, reliable) = (ReliabilityPolicy::BestEffort, ReliabilityPolicy::Reliable);
        assert_eq!(obstacle(&listening(false), image, &best_effort), None);
        assert_eq!(obstacle(&listening(true), image, &reliable), None);
        assert!(obstacle(&listening(true), image, &best_effort).unwrap().contains("best effort"));
        let other = obstacle(&listening(false), "sensor_msgs/msg/CompressedImage", &reliable).unwrap();
        assert!(
            other.contains("CompressedImage, but this node subscribes to sensor_msgs/msg/Image"),
            "{other}"
        );
    }
}
