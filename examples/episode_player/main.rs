//! The demo's other side: plays recorded episodes as a camera at their own rate and stands in for the robot, whose reset
//! service brings the next episode; shows what the node makes of them.

mod bag;
mod links;
mod play;
mod screen;
mod summary;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use anyhow::{Context as _, bail};
use clap::Parser;

use bag::Bag;
use links::Links;
use play::Player;
use screen::Screen;

/// Play recorded episodes to topreward_node and show what it makes of them.
#[derive(Parser)]
#[command(name = "topreward_episode_player", version)]
struct Arguments {
    /// Episodes as MCAP bags, or folders of them.
    #[arg(required = true)]
    episodes: Vec<PathBuf>,
    /// Plain lines instead of live bars.
    #[arg(long)]
    headless: bool,
    /// How long the robot stands still after an episode's video before a person gives up on it, seconds.
    #[arg(long, default_value_t = 3.0)]
    patience_s: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(
        std::iter::once("topreward_episode_player".to_owned())
            .chain(topreward::ros::own_arguments(std::env::args())),
    );
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("topreward_episode_player: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// Plays everything; whether each episode was judged rightly.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let bags = (bag_files(&arguments.episodes)?.iter())
        .map(|path| Bag::read(path).with_context(|| format!("bag {}", path.display())))
        .collect::<anyhow::Result<Vec<Bag>>>()?;
    let mut node = r2r::Node::create(topreward::ros::context()?, "episode_player", "")?;
    topreward::ros::log_through_ros(node.logger());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _in_runtime = runtime.enter();
    let (links, happenings) = Links::new(&mut node)?;

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let spin = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            node.spin_once(Duration::from_millis(20));
        }
    });
    let screen = Screen::new(arguments.headless, bags.len());
    let patience = Duration::try_from_secs_f64(arguments.patience_s)?;
    let mut player = Player::new(links, happenings, screen, patience);
    let result = runtime.block_on(async {
        tokio::select! {
            summary = player.play_all(&bags) => summary.map(Some),
            _ = interrupted() => Ok(None),
        }
    });
    stop.store(true, Ordering::Relaxed);
    let spun = spin.join();
    let summary = result?;
    if spun.is_err() {
        bail!("the ROS executor panicked");
    }
    let Some(summary) = summary else { return Ok(true) };
    print!("{summary}");
    Ok(summary.all_right())
}

/// Whoever started the player, `ros2 launch` for one, asks it to end: that is no failure.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn bag_files(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            let mut inside = std::fs::read_dir(path)
                .with_context(|| format!("folder {}", path.display()))?
                .map(|entry| Ok(entry?.path()))
                .collect::<std::io::Result<Vec<PathBuf>>>()?;
            inside.retain(|path| is_bag(path));
            inside.sort();
            files.append(&mut inside);
        } else {
            files.push(path.clone());
        }
    }
    if files.is_empty() {
        bail!("there are no .mcap files in {given:?}");
    }
    Ok(files)
}

fn is_bag(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "mcap")
}
