use std::time::Duration;

use r2r::std_srvs::srv::Trigger;
use r2r::{Client, Node, QosProfile};
use tokio::time::timeout;

/// Why the robot was not reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    #[error("the service {service} did not appear within {} s", .waited.as_secs_f64())]
    Absent { service: String, waited: Duration },
    #[error("the service {service} did not answer within {} s", .waited.as_secs_f64())]
    Silent { service: String, waited: Duration },
    #[error("the service {service} refused: {message}")]
    Refused { service: String, message: String },
    #[error("the service {service} cannot be called: {source}")]
    Ros { service: String, source: r2r::Error },
}

/// Asks the robot to reset.
pub struct RobotReset {
    service: String,
    client: Client<Trigger::Service>,
    timeout: Duration,
}

impl RobotReset {
    /// `timeout` is for the service to appear, and again for its answer.
    pub fn new(node: &mut Node, service: &str, timeout: Duration) -> r2r::Result<Self> {
        let client = node.create_client::<Trigger::Service>(service, QosProfile::services_default())?;
        Ok(Self { service: service.to_owned(), client, timeout })
    }

    /// Calls the service once.
    pub async fn call(&self) -> Result<(), ResetError> {
        let service = || self.service.clone();
        let ros = |source| ResetError::Ros { service: service(), source };
        let available = Node::is_available(&self.client).map_err(ros)?;
        match timeout(self.timeout, available).await {
            Err(_) => return Err(ResetError::Absent { service: service(), waited: self.timeout }),
            Ok(available) => available.map_err(ros)?,
        }
        let answer = self.client.request(&Trigger::Request {}).map_err(ros)?;
        match timeout(self.timeout, answer).await {
            Err(_) => Err(ResetError::Silent { service: service(), waited: self.timeout }),
            Ok(Err(source)) => Err(ros(source)),
            Ok(Ok(Trigger::Response { success: true, .. })) => Ok(()),
            Ok(Ok(Trigger::Response { message, .. })) => {
                Err(ResetError::Refused { service: service(), message })
            }
        }
    }
}
