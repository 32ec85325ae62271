//! Ctrl-C and SIGTERM: what is being written is finished, then the program ends. A second one ends it at once.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static RECEIVED: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Notes these signals from now on instead of ending; the second one of a kind has its usual effect.
///
/// # Errors
/// The system refuses.
pub fn watch() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        let seen = Arc::new(AtomicBool::new(false));
        // They run in this order: the first signal only prepares what the second one meets.
        flag::register_conditional_default(signal, seen.clone())?;
        flag::register(signal, seen)?;
        flag::register_usize(signal, RECEIVED.clone(), signal as usize)?;
    }
    Ok(())
}

/// The signal that has come, if one has.
pub fn received() -> Option<i32> {
    match RECEIVED.load(Ordering::Relaxed) {
        0 => None,
        signal => i32::try_from(signal).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    /// What a process does that waits for a first signal, and then for a second one.
    #[test]
    #[ignore = "runs as a process of its own"]
    fn wait_for_two_signals() {
        watch().unwrap();
        println!("\nready");
        while received().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("\nreceived {}", received().unwrap());
        std::thread::sleep(Duration::from_secs(60));
    }

    #[test]
    fn the_first_signal_is_noted_and_the_second_one_ends_the_process() {
        for (signal, name) in [(SIGINT, "INT"), (SIGTERM, "TERM")] {
            let mut waiting = Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "--nocapture", "cli::interrupt::tests::wait_for_two_signals"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(waiting.stdout.take().unwrap()).lines();
            let mut said = |wanted: &str| lines.any(|line| line.unwrap() == wanted);
            let send = || {
                let kill = format!("kill -{name} {}", waiting.id());
                assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
            };
            assert!(said("ready"));
            send();
            assert!(said(&format!("received {signal}")));
            send();
            assert_eq!(waiting.wait().unwrap().signal(), Some(signal));
        }
    }
}
