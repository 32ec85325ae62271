//! The one list of parameters. What is said here makes the configuration, its defaults, the checks, the
//! node's parameters with their descriptions, `config/topreward.yaml` and `docs/parameters.md`.

use std::collections::BTreeMap;

use super::bounds::{Bounds, Unit, above, from, whole};
use super::cameras::Camera;
use super::choices::{ResetType, Transport, choice, choice_or_empty};
use super::declaration::{Change, Declaration, Group};
use super::field::Field;
use super::table_macro::parameters;
use crate::episode::{MAX_STEP_S, StampSource};
use crate::model::{DeviceChoice, DtypeChoice};
use crate::reward::{
    BiasControl, FailureSettings, Fusion, ProgressMode, ProgressScale, ProgressSettings, SuccessSettings,
};

const FREE: Bounds = Bounds::Free;
/// Bounds have two ends, for the sliders of rqt_reconfigure. A day is longer than any episode or pause.
const DAY_S: f64 = 86_400.0;
/// Further down than any model goes.
const LEAST_NATS: f64 = -1000.0;

parameters! {
    /// The task, the cameras and the start of the node.
    struct Config {
        /// What the robot is to do, as a full and concrete sentence. While it is empty, nothing is scored.
        /// The service `~/set_instruction` sets it too. When it changes during an episode, the episode keeps
        /// its frames, and from then on they are scored with the new instruction.
        instruction: String = String::new(), AnyTime, FREE;

        /// Load the model and become active when the node starts. false: the node waits for the lifecycle
        /// services (`ros2 lifecycle set`).
        autostart: bool = true, StartUp, FREE;

        /// Names of the cameras, at least one. A name is your choice: a lower-case letter, then letters,
        /// digits and _. Each camera is scored by itself. With several cameras `~/progress` and `~/success`
        /// follow from their fused scores, and `~/<name>/progress` is the progress that one camera shows.
        cameras: Vec<String> = vec!["camera".to_owned()], StartUp, FREE;

        /// How the scores of several cameras become one, whenever each camera has a new score. mean: the mean
        /// of their log-odds. min: the score of the least convinced camera. max: the score of the most
        /// convinced camera.
        fusion: Fusion = Fusion::Mean, StartUp, choice::<Fusion>();
    }

    /// The model, and how it is loaded.
    struct Model as model {
        /// Folder of a Qwen3-VL checkpoint as on Hugging Face, or its id there (Qwen/Qwen3-VL-2B-Instruct),
        /// which is downloaded into the usual cache. `package://<package>/<path>` is a path in that package's
        /// share folder. The node does not start without it.
        path: String = String::new(), StartUp, FREE;

        /// How the weights are held in memory. f32: 32 bits each, nothing is lost. bf16, f16: 16 bits, on
        /// GPUs only. q8: quantised to 8 bits, a quarter of the memory of f32. q6: quantised to 6 bits,
        /// faster and nearly as accurate. q4: quantised to 4 bits, the least memory and the least accurate.
        /// auto: bf16 on a GPU; on the processor, f32 for models below 200 million parameters and q8 for all
        /// others.
        dtype: DtypeChoice = DtypeChoice::Auto, StartUp, choice::<DtypeChoice>();

        /// Where the model runs. cpu: the processor. cuda: an NVIDIA GPU; it needs a build for it (see
        /// docs/gpu.md). metal: the GPU of an Apple machine; it needs a build for it, and is untested.
        device: DeviceChoice = DeviceChoice::Cpu, StartUp, choice::<DeviceChoice>();

        /// Keep quantised weights on disk, so that the next start is quick. They are in the folder
        /// topreward/weights of the user's cache (`~/.cache` on Linux) and can be deleted at any time.
        weight_cache: bool = true, StartUp, FREE;

        /// Where the question stands. false: behind the video, without a chat template (the main setting of
        /// the TOPReward paper). true: inside the model's chat template.
        chat_template: bool = false, StartUp, FREE;

        /// Longest instruction that is accepted.
        max_instruction_tokens: usize = 256, StartUp, whole(1, 100_000), Tokens;
    }

    /// How frames are prepared for the model.
    struct Processor as processor {
        /// Largest size of a frame after the resize. A larger frame is scaled down; the sides become
        /// multiples of the model's patch size. Fewer pixels are faster. 0: the checkpoint's own limit for a
        /// video of 64 frames.
        max_pixels: usize = 0, StartUp, whole(0, 100_000_000), Pixels;
    }

    /// The images of all cameras.
    struct Image as image {
        /// How images arrive. raw: as sensor_msgs/Image. compressed: as sensor_msgs/CompressedImage (JPEG or
        /// PNG).
        transport: Transport = Transport::Raw, StartUp, choice::<Transport>();
    }

    /// Which frames the model sees. These frames are called samples.
    struct Sampling as sampling {
        /// How many frames the model sees in a second, by the time stamps in the images' headers. TOPReward
        /// uses 2.
        rate_hz: f64 = 2.0, StartUp, above(0.0, 1000.0), Hertz;

        /// How far a stamp may lie from the one before it, unless the node's own clock shows the same pause.
        /// Farther ones are left out; when three in a row agree, the camera's clock was set and a new episode
        /// begins (see docs/time.md).
        max_step_s: f64 = MAX_STEP_S, StartUp, above(0.0, DAY_S), Seconds;
    }

    /// Which samples are scored.
    struct Scoring as scoring {
        /// Score every so many samples; the model sees all of them. 0: only when the service `~/score_now`
        /// asks.
        every: usize = 1, AnyTime, whole(0, 1000), Samples;
    }

    /// Many models raise the reward merely because the video grows longer. What they add is called the bias.
    struct Bias as bias {
        /// static: the bias is measured and subtracted. To measure it, the first frame, repeated, is scored
        /// beside the episode as a video in which nothing happens; what its reward gains is the bias. It is
        /// subtracted from progress, and from success only where that makes a success harder. This costs
        /// about one more pass of the language model for each frame and each score. off: nothing is
        /// subtracted.
        control: BiasControl = BiasControl::Off, StartUp, choice::<BiasControl>();
    }

    /// When an episode begins and ends, and how much of it is remembered.
    struct Episode as episode {
        /// Begin the first episode as soon as there are a model and an instruction, and the next one after
        /// each reset and after each episode that took too long. false: episodes begin only on request
        /// (`~/start_episode`, `~/reset_episode`, `episode.signal_topic`).
        auto_start: bool = true, AnyTime, FREE;

        /// Longest episode, by the node's own clock from the first frame that the model saw. One that takes
        /// longer ends without success, also if no image comes. The robot is then reset only if
        /// `reset.on_timeout` is true.
        max_duration_s: f64 = 120.0, AnyTime, above(0.0, DAY_S), Seconds;

        /// How many samples of an episode the model remembers, which limits the memory and the time that a
        /// long episode takes. When there are more, the model forgets every second one and computes the
        /// others anew, which takes a moment. From then on it sees samples at half the rate, and always the
        /// newest. 0: it remembers all.
        max_samples: usize = 600, StartUp, whole(0, 1_000_000), Samples;

        /// Topic (std_msgs/String) on which a recorder announces episodes: record begins one, or ends the
        /// running one; save, delete and exit end it. Use it with `episode.auto_start` false. Empty: none.
        signal_topic: String = String::new(), StartUp, FREE;

        /// An episode whose task looks done from the start is never a success. true: this guard is off for an
        /// episode that somebody begins by hand (`~/start_episode`, `~/reset_episode`), who is trusted to
        /// know that the task is not done.
        trust_manual_start: bool = false, AnyTime, FREE;
    }

    /// How a reward becomes progress from 0 to 1.
    use ProgressSettings as progress {
        /// Which rewards are progress 0 and 1. goal: the episode's first reward and `progress.goal_nats`.
        /// running: the first reward and the highest one so far. calibrated: the typical first and final
        /// reward of earlier successes, from `calibration.file`. probability: no rewards; progress is p("
        /// True") divided by p(" True") + p(" False").
        mode, AnyTime, choice::<ProgressMode>();

        /// nats: progress is linear in log p(" True"), which is right for pretrained models. probability: it
        /// is linear in p(" True"), which is right for a model that was trained on progress.
        scale, AnyTime, choice::<ProgressScale>();

        /// The log p(" True") that counts as done (progress 1) if `progress.mode` is goal.
        goal_nats, AnyTime, from(LEAST_NATS, 0.0), Nats;

        /// Least distance from progress 0 to progress 1 if `progress.mode` is goal or running. Without it,
        /// noise would look like progress in an episode that begins near the goal.
        min_span_nats, AnyTime, above(0.0, -LEAST_NATS), Nats;
    }

    /// Success: the mean of the newest rewards reaches the threshold. All others here are guards. A guard can
    /// prevent a success but never cause one, and /diagnostics says which guard did.
    use SuccessSettings as success {
        /// Least mean of the newest rewards. It depends on the model: calibrate it (`topreward calibrate`).
        threshold_nats, AnyTime, from(LEAST_NATS, 0.0), Nats;

        /// How many of the newest rewards are averaged.
        window, AnyTime, whole(1, 1000), Scores;

        /// How long the mean must stay at or above the threshold, in header time. 0: it need only reach it.
        hold_s, AnyTime, from(0.0, DAY_S), Seconds;

        /// How many samples an episode must have before a success can be called.
        min_frames, AnyTime, whole(1, 100_000), Samples;

        /// How much the picture must have changed since the episode began, measured on a small grey copy of
        /// it. With a frozen or covered camera there is no success. 0: off.
        min_change, AnyTime, from(0.0, 255.0), GreyLevels;

        /// How late a score may come after its frame. A later one makes the hold begin anew. 0: off.
        max_age_s, AnyTime, from(0.0, DAY_S), Seconds;

        /// How much header time may lie between two scores. A longer gap makes the hold begin anew. 0: off.
        max_gap_s, AnyTime, from(0.0, DAY_S), Seconds;

        /// How far the rewards of several cameras may lie apart. While they lie further apart, no success is
        /// called, and the hold begins anew. 0: off.
        max_spread_nats, AnyTime, from(0.0, -LEAST_NATS), Nats;

        /// After a change of the instruction in a running episode, no success is called for this long, in
        /// header time. 0: off.
        after_instruction_s, AnyTime, from(0.0, DAY_S), Seconds;
    }

    /// When an episode has failed.
    use FailureSettings as failure {
        /// An episode has failed when its progress has not risen for this long, by the node's own clock. 0:
        /// never.
        stuck_s, AnyTime, from(0.0, DAY_S), Seconds;

        /// How much progress (0 to 1) must rise in that time.
        min_gain, AnyTime, above(0.0, 1.0);
    }

    /// What labelled episodes have shown about a model.
    struct CalibrationFile as calibration {
        /// File that `topreward calibrate` has written. It replaces `success.threshold_nats`, and has the
        /// rewards for `progress.mode` calibrated. It is refused if it was made for another model,
        /// instruction or setting. Empty: none.
        file: String = String::new(), StartUp, FREE;
    }

    /// The robot's reset, which is called after a success.
    struct Reset as reset {
        /// Service that resets the robot, called once for each success. Empty: a success is only published.
        service: String = String::new(), StartUp, FREE;

        /// Its type. trigger: std_srvs/srv/Trigger. empty: std_srvs/srv/Empty, where every answer counts as a
        /// success. set_bool: std_srvs/srv/SetBool, called with true.
        service_type as type: ResetType = ResetType::Trigger, StartUp, choice::<ResetType>();

        /// Also call it when an episode took longer than `episode.max_duration_s`.
        on_timeout: bool = false, AnyTime, FREE;

        /// Also call it when an episode has failed (`failure.stuck_s`).
        on_failure: bool = false, AnyTime, FREE;

        /// How often to try again, one second later each time, when the service does not exist or refuses. A
        /// service that does not answer in time is not called again: the robot may already be moving.
        retries: u32 = 0, StartUp, whole(0, 1000);

        /// How long to wait for the service to appear, and then as long again for its answer.
        timeout_s: f64 = 5.0, StartUp, above(0.0, DAY_S), Seconds;

        /// Pause between the service's answer and the next episode, for the scene to come to rest.
        settle_s: f64 = 1.0, AnyTime, from(0.0, DAY_S), Seconds;
    }

    /// The node's reports on /diagnostics.
    struct Diagnostics as diagnostics {
        /// Time between two reports.
        period_s: f64 = 1.0, StartUp, from(0.1, 60.0), Seconds;
    }
}

/// What each camera has. There is one of each for every camera, so these rows are written out.
const CAMERA: Group<Config> = Group {
    name: "camera.<name>",
    text: "One camera, by its name in `cameras`. Each camera has these.",
    parameters: &[
        Declaration {
            name: "camera.<name>.topic",
            text: "Topic of this camera's raw images. Compressed images are expected on \
                   `<topic>/compressed`. It can be remapped. Empty: `image_raw` if there is one camera, \
                   `<name>/image_raw` if there are several.",
            change: Change::StartUp,
            bounds: FREE,
            unit: Unit::None,
            get: |config, camera| config.camera.get(camera).cloned().unwrap_or_default().topic.to_value(),
            set: |config, camera, value| {
                config.camera.entry(camera.to_owned()).or_default().topic = Field::from_value(value)?;
                Ok(())
            },
        },
        Declaration {
            name: "camera.<name>.stamps",
            text: "Where the times of this camera's images come from. header: from the stamps in their headers. \
                   receipt: from the node's own clock when they arrive, for a driver that does not stamp its \
                   images, or always with the same time (see docs/time.md).",
            change: Change::StartUp,
            bounds: choice::<StampSource>(),
            unit: Unit::None,
            get: |config, camera| config.camera.get(camera).cloned().unwrap_or_default().stamps.to_value(),
            set: |config, camera, value| {
                config.camera.entry(camera.to_owned()).or_default().stamps = Field::from_value(value)?;
                Ok(())
            },
        },
        Declaration {
            name: "camera.<name>.transport",
            text: "How the images of this camera arrive. Empty: as `image.transport` says.",
            change: Change::StartUp,
            bounds: choice_or_empty::<Transport>(),
            unit: Unit::None,
            get: |config, camera| config.camera.get(camera).cloned().unwrap_or_default().transport.to_value(),
            set: |config, camera, value| {
                config.camera.entry(camera.to_owned()).or_default().transport = Field::from_value(value)?;
                Ok(())
            },
        },
    ],
};
