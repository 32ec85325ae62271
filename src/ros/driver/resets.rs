use std::sync::Arc;
use std::time::Duration;

use r2r::Node;
use tokio::task::AbortHandle;

use super::super::background::Background;
use super::super::clock::NodeClock;
use super::super::inbox::Input;
use super::super::robot_reset::RobotReset;
use crate::config::Reset;
use crate::live::session::ResetTicket;

/// The robot's resets between episodes, as the session asks for them.
pub struct Resets {
    /// `None` where no service is named.
    robot: Option<Arc<RobotReset>>,
    under_way: Option<AbortHandle>,
    settle: Duration,
}

impl Resets {
    pub fn new(node: &mut Node, settings: &Reset) -> r2r::Result<Self> {
        let robot = match settings.service.is_empty() {
            true => None,
            false => Some(Arc::new(RobotReset::new(node, settings)?)),
        };
        Ok(Self { robot, under_way: None, settle: Duration::from_secs_f64(settings.settle_s) })
    }

    /// Takes over what may change while the node runs.
    pub fn configure(&mut self, settings: &Reset) {
        self.settle = Duration::from_secs_f64(settings.settle_s);
    }

    /// Calls the robot's service; the driver is sent the answer.
    pub fn call(&mut self, ticket: ResetTicket, background: &mut Background) {
        let Some(robot) = self.robot.clone() else { return };
        let inputs = background.inputs();
        self.under_way = Some(background.spawn(async move {
            inputs.send(Input::ResetAnswered(ticket, robot.call().await));
        }));
    }

    /// Ends the call under way: nobody wants the robot to be reset any more.
    pub fn abort(&mut self) {
        if let Some(reset) = self.under_way.take() {
            reset.abort();
        }
    }

    /// Waits for the scene to come to rest, and sends that to the driver.
    pub fn settle(&self, ticket: ResetTicket, clock: NodeClock, background: &mut Background) {
        let (settle, inputs) = (self.settle, background.inputs());
        background.spawn(async move {
            clock.sleep(settle).await;
            inputs.send(Input::Settled(ticket));
        });
    }
}
