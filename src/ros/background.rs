//! Work beside the driver: tasks, and jobs on the thread that spins the node. What comes of it reaches the driver as an
//! [`Input`].

use r2r::Node;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::error::NodeError;
use super::inbox::{Input, Inputs};
use super::rcl::executor::Executor;
use crate::episode::DueFrame;

pub struct Background {
    inputs: Inputs,
    executor: Executor,
    /// A task that is not to end returns what it was.
    tasks: JoinSet<Option<&'static str>>,
}

impl Background {
    pub fn new(inputs: Inputs, executor: Executor) -> Self {
        Self { inputs, executor, tasks: JoinSet::new() }
    }

    /// The way to the driver.
    pub fn inputs(&self) -> Inputs {
        self.inputs.clone()
    }

    /// Runs work that may end, or be aborted.
    pub fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.tasks.spawn(async move {
            work.await;
            None
        })
    }

    /// Runs work that is not to end before the node does, unless it is aborted; `what` names it in the error.
    pub fn spawn_for_good(
        &mut self,
        what: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        self.tasks.spawn(async move {
            work.await;
            Some(what)
        })
    }

    /// Decodes a camera's frame on a thread of its own; the driver gets it back.
    pub fn decode(&mut self, camera: usize, frame: DueFrame) {
        let inputs = self.inputs();
        self.tasks.spawn_blocking(move || {
            inputs.send(Input::Decoded(camera, frame.decode()));
            None
        });
    }

    /// Runs a job on the node's thread; the driver gets what it returns.
    pub fn on_node(&self, job: impl FnOnce(&mut Node) -> Input + Send + 'static) {
        let inputs = self.inputs();
        self.executor.run(move |node| inputs.send(job(node)));
    }

    /// Waits until a task ends.
    ///
    /// # Errors
    /// It was not to end, or it panicked: the node ends rather than go on without it.
    pub async fn ended(&mut self) -> Result<(), NodeError> {
        match self.tasks.join_next().await {
            Some(ended) => check(ended),
            None => std::future::pending().await,
        }
    }
}

fn check(ended: Result<Option<&'static str>, JoinError>) -> Result<(), NodeError> {
    match ended {
        Ok(None) => Ok(()),
        Ok(Some(task)) => Err(NodeError::Internal(format!("{task} ended"))),
        // A reset or a camera that is not wanted any more.
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(NodeError::Internal(format!("a task failed: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::{Applied, CameraFrame, EpisodeBuffer, EpisodeLimits, Sampler};
    use std::time::Duration;
    use tokio::sync::mpsc::unbounded_channel;

    fn background() -> Background {
        Background::new(Inputs(unbounded_channel().0), Executor::new().0)
    }

    #[tokio::test]
    async fn a_task_that_ends_or_panics_ends_the_node_with_an_error() {
        let mut background = background();
        background.spawn(async { panic!("on purpose") });
        let error = background.ended().await.unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
        background.tasks.spawn_blocking(|| panic!("on purpose, in a thread"));
        assert!(background.ended().await.is_err());
        background.spawn_for_good("the drum", async {});
        let error = background.ended().await.unwrap_err();
        assert!(error.to_string().contains("the drum ended"), "{error}");
        assert_eq!(error.exit_code(), 70);
    }

    #[tokio::test]
    async fn a_task_that_is_done_or_not_wanted_any_more_does_not() {
        let mut background = background();
        background.spawn(async {});
        assert!(background.ended().await.is_ok());
        background.spawn_for_good("the drum", std::future::pending()).abort();
        assert!(background.ended().await.is_ok());
    }

    #[tokio::test]
    async fn a_frame_is_decoded_beside_whoever_asks() {
        let (sender, mut received) = unbounded_channel();
        let mut background = Background::new(Inputs(sender), Executor::new().0);
        let (release, held) = std::sync::mpsc::channel();
        let decode = move || {
            held.recv_timeout(Duration::from_secs(20)).expect("whoever asked was kept waiting");
            Ok(::image::RgbImage::new(4, 4))
        };
        let limits = EpisodeLimits { max_duration_s: 10.0, score_every: 1 };
        let mut buffer = EpisodeBuffer::new(0, Sampler::new(2.0).unwrap(), limits);
        buffer.start();
        let Applied::Due(due) = buffer.frame(CameraFrame::new(7, "camera".into(), None, decode)) else {
            panic!("not due")
        };
        background.decode(1, due);
        assert!(received.try_recv().is_err());
        release.send(()).unwrap();
        let Some(Input::Decoded(1, frame)) = received.recv().await else { panic!("no frame of camera 1") };
        assert_eq!(frame.stamp_ns(), Some(7));
        assert!(background.ended().await.is_ok());
    }
}
