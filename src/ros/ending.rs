//! How the process ends: what asks for it, and the last step out.

use std::io::Write;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

/// From a signal to the end of the process, whatever the node is doing.
const LONGEST: Duration = Duration::from_millis(1800);
/// What it takes to say so.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// `EX_SOFTWARE`: the node did not end by itself.
const FORCED: u8 = 70;

/// SIGINT and SIGTERM.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on a signal does not kill the process: it is kept until it is asked for. If the node has not ended a while
    /// after it, the process is ended as it is, by a thread of its own: whatever holds up the node may hold up its tasks.
    pub fn listen(runtime: &Runtime) -> std::io::Result<Self> {
        let watch = Builder::new_current_thread().enable_all().build()?;
        let mut watched = Self::new(&watch)?;
        let cut_off = async move {
            watched.come().await;
            sleep(LONGEST).await;
            let words = format!("topreward_node: it did not end within {} s: cut off", LONGEST.as_secs_f64());
            // Perhaps it is the terminal that holds up the node.
            let _ = thread::Builder::new().spawn(move || eprintln!("{words}"));
            sleep(LAST_WORDS).await;
            at_once(FORCED)
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || watch.block_on(cut_off))?;
        Self::new(runtime)
    }

    fn new(runtime: &Runtime) -> std::io::Result<Self> {
        let _in_runtime = runtime.enter();
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one of them.
    pub async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ends the process with everything that was printed and logged, and runs no destructor of a library.
///
/// A return from `main` would run those of Fast DDS's libraries while threads of theirs are still alive: its watchdog of
/// shared memory always, and those of a participant and of the model where they did not end in time. In three of a hundred
/// ends on a busy machine that was a SIGSEGV. What is worth a goodbye has had it by now: the node took leave of the
/// others and removed its shared memory when it was dropped. The rest is the system's to take back.
pub fn leave(code: u8) -> ! {
    // Nobody reads it any more if that fails.
    let _ = std::io::stdout().flush();
    // SAFETY: no file is named, so all are flushed, each under its own lock: C's, among them ROS's log file.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    at_once(code)
}

fn at_once(code: u8) -> ! {
    // SAFETY: it ends the process, and nothing of the process runs afterwards.
    unsafe { libc::_exit(code.into()) }
}
