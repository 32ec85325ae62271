//! Everything that connects the player with the node.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures::{Stream, StreamExt};
use r2r::diagnostic_msgs::msg::DiagnosticArray;
use r2r::sensor_msgs::msg::CompressedImage;
use r2r::std_srvs::srv::Trigger;
use r2r::topreward::msg::{EpisodeSummary, Progress, SuccessDetection};
use r2r::topreward::srv::SetInstruction;
use r2r::{Client, Clock, Node, Publisher, QosProfile, ServiceRequest};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// How long the node may take to appear, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the node does.
pub enum Happening {
    Progress(Progress),
    Success(SuccessDetection),
    Ended(EpisodeSummary),
    /// It asks the robot to reset.
    Reset(ServiceRequest<Trigger::Service>),
    Diagnostics(DiagnosticArray),
}

pub struct Links {
    camera: Publisher<CompressedImage>,
    clock: Arc<Mutex<Clock>>,
    set_instruction: Client<SetInstruction::Service>,
    start_episode: Client<Trigger::Service>,
    end_episode: Client<Trigger::Service>,
}

impl Links {
    /// The topics and services of a node called `topreward` in this namespace.
    pub fn new(node: &mut Node) -> r2r::Result<(Self, UnboundedReceiver<Happening>)> {
        let (tell, happenings) = unbounded_channel();
        let reliable = || QosProfile::default().reliable().keep_last(50);
        listen(node.subscribe("topreward/progress", reliable())?, Happening::Progress, &tell);
        listen(node.subscribe("topreward/episode", reliable())?, Happening::Ended, &tell);
        listen(node.subscribe("topreward/success", reliable())?, Happening::Success, &tell);
        listen(node.subscribe("/diagnostics", reliable())?, Happening::Diagnostics, &tell);
        let services = QosProfile::services_default;
        listen(node.create_service("~/reset", services())?, Happening::Reset, &tell);
        let links = Self {
            camera: node.create_publisher("image_raw/compressed", QosProfile::sensor_data())?,
            clock: node.get_ros_clock(),
            set_instruction: node.create_client("topreward/set_instruction", services())?,
            start_episode: node.create_client("topreward/start_episode", services())?,
            end_episode: node.create_client("topreward/end_episode", services())?,
        };
        Ok((links, happenings))
    }

    /// Sends a frame as if the camera had taken it now.
    pub fn send(&self, frame: &CompressedImage) -> anyhow::Result<()> {
        let now = self.clock.lock().map_err(|_| anyhow!("the clock's lock is poisoned"))?.get_now()?;
        let mut frame = frame.clone();
        frame.header.stamp = Clock::to_builtin_time(&now);
        self.camera.publish(&frame)?;
        Ok(())
    }

    /// Waits until the node is there.
    pub async fn find_node(&self) -> anyhow::Result<()> {
        for available in [
            Node::is_available(&self.set_instruction)?,
            Node::is_available(&self.start_episode)?,
            Node::is_available(&self.end_episode)?,
        ] {
            timeout(PATIENCE, available).await.context("topreward_node did not appear")??;
        }
        Ok(())
    }

    pub async fn set_instruction(&self, instruction: &str) -> anyhow::Result<()> {
        let request = SetInstruction::Request { instruction: instruction.to_owned() };
        let answer = timeout(PATIENCE, self.set_instruction.request(&request)?).await;
        let answer = answer.context("~/set_instruction did not answer")??;
        if !answer.success {
            bail!("~/set_instruction: {}", answer.message);
        }
        Ok(())
    }

    pub async fn start_episode(&self) -> anyhow::Result<()> {
        let answer = trigger(&self.start_episode, "~/start_episode").await?;
        if !answer.success {
            bail!("~/start_episode: {}", answer.message);
        }
        Ok(())
    }

    /// Whether there was an episode to end.
    pub async fn end_episode(&self) -> anyhow::Result<bool> {
        Ok(trigger(&self.end_episode, "~/end_episode").await?.success)
    }
}

async fn trigger(client: &Client<Trigger::Service>, name: &str) -> anyhow::Result<Trigger::Response> {
    let answer = timeout(PATIENCE, client.request(&Trigger::Request {})?).await;
    Ok(answer.with_context(|| format!("{name} did not answer"))??)
}

fn listen<M: Send + 'static>(
    mut messages: impl Stream<Item = M> + Send + Unpin + 'static,
    happening: fn(M) -> Happening,
    tell: &UnboundedSender<Happening>,
) {
    let tell = tell.clone();
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            if tell.send(happening(message)).is_err() {
                return;
            }
        }
    });
}
