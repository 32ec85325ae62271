use std::time::Duration;

use r2r::std_srvs::srv::{Empty, SetBool, Trigger};
use r2r::{Client, Node, QosProfile, WrappedServiceTypeSupport};
use tokio::time::{sleep, timeout};

use crate::config::{Reset, ResetType};

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

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

impl ResetError {
    /// Whether the robot has certainly not begun to move: only then is it safe to ask again.
    fn is_harmless(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Refused { .. })
    }
}

/// Asks the robot to reset.
pub struct RobotReset {
    service: String,
    client: ResetClient,
    timeout: Duration,
    retries: u32,
}

enum ResetClient {
    Trigger(Client<Trigger::Service>),
    Empty(Client<Empty::Service>),
    SetBool(Client<SetBool::Service>),
}

impl RobotReset {
    /// `settings.timeout_s` is for the service to appear, and again for its answer.
    pub fn new(node: &mut Node, settings: &Reset) -> r2r::Result<Self> {
        let service = &settings.service;
        let qos = QosProfile::services_default();
        let client = match settings.service_type {
            ResetType::Trigger => ResetClient::Trigger(node.create_client(service, qos)?),
            ResetType::Empty => ResetClient::Empty(node.create_client(service, qos)?),
            ResetType::SetBool => ResetClient::SetBool(node.create_client(service, qos)?),
        };
        let timeout = Duration::from_secs_f64(settings.timeout_s);
        Ok(Self { service: service.clone(), client, timeout, retries: settings.retries })
    }

    /// Resets the robot once; tries again only where it has certainly not begun.
    pub async fn call(&self) -> Result<(), ResetError> {
        let mut left = self.retries;
        loop {
            match self.attempt().await {
                Err(error) if error.is_harmless() && left > 0 => {
                    log::warn!("the robot was not reset, {left} more attempts: {error}");
                    left -= 1;
                    sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&self) -> Result<(), ResetError> {
        let (success, message) = match &self.client {
            ResetClient::Trigger(client) => {
                let answer = self.ask(client, Trigger::Request {}).await?;
                (answer.success, answer.message)
            }
            ResetClient::Empty(client) => {
                self.ask(client, Empty::Request {}).await?;
                (true, String::new())
            }
            ResetClient::SetBool(client) => {
                let answer = self.ask(client, SetBool::Request { data: true }).await?;
                (answer.success, answer.message)
            }
        };
        if success { Ok(()) } else { Err(ResetError::Refused { service: self.service.clone(), message }) }
    }

    async fn ask<T>(&self, client: &Client<T>, request: T::Request) -> Result<T::Response, ResetError>
    where
        T: WrappedServiceTypeSupport + 'static,
    {
        let service = || self.service.clone();
        let ros = |source| ResetError::Ros { service: service(), source };
        let available = Node::is_available(client).map_err(ros)?;
        match timeout(self.timeout, available).await {
            Err(_) => return Err(ResetError::Absent { service: service(), waited: self.timeout }),
            Ok(available) => available.map_err(ros)?,
        }
        let answer = client.request(&request).map_err(ros)?;
        match timeout(self.timeout, answer).await {
            Err(_) => Err(ResetError::Silent { service: service(), waited: self.timeout }),
            Ok(answer) => answer.map_err(ros),
        }
    }
}
