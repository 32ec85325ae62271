//! Reads the next episodes while others are scored. In memory are at most two for each job: one that is scored and one
//! that is ready.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

/// Reads and scores every item of `work`, `jobs` at a time. `score` also learns which of the jobs it is, from 0.
/// `done` is called on this thread, in the order in which they come; once it fails, or `stop` says so, no more are begun.
///
/// # Errors
/// That of `done`.
pub fn run<T: Send, R: Send>(
    work: &[usize],
    jobs: usize,
    read: impl Fn(usize) -> Result<T> + Sync,
    score: impl Fn(usize, usize, T) -> Result<R> + Sync,
    stop: impl Fn() -> bool + Sync,
    mut done: impl FnMut(usize, Result<R>) -> Result<()>,
) -> Result<()> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let stop = || failed.load(Ordering::Relaxed) || stop();
    let (ready, waiting) = sync_channel(0);
    // Held by the jobs alone: should all of them end, nobody waits for them.
    let waiting = Arc::new(Mutex::new(waiting));
    let (sender, outcomes) = channel();
    let (read, score, next) = (&read, &score, &next);
    let stop = &stop;
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let ready = ready.clone();
            scope.spawn(move || read_on(work, next, read, stop, &ready));
            let (waiting, sender) = (waiting.clone(), sender.clone());
            scope.spawn(move || {
                while let Some((item, read)) = receive(&waiting) {
                    if stop() {
                        continue;
                    }
                    let outcome = read.and_then(|read| score(job, item, read));
                    if sender.send((item, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
        drop((ready, waiting, sender));
        let mut result = Ok(());
        for (item, outcome) in outcomes {
            if result.is_ok() {
                result = done(item, outcome);
                failed.store(result.is_err(), Ordering::Relaxed);
            }
        }
        result
    })
}

fn read_on<T>(
    work: &[usize],
    next: &AtomicUsize,
    read: impl Fn(usize) -> Result<T>,
    stop: impl Fn() -> bool,
    ready: &SyncSender<(usize, Result<T>)>,
) {
    while !stop() {
        let Some(&item) = work.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
        if ready.send((item, read(item))).is_err() {
            break;
        }
    }
}

fn receive<T>(waiting: &Mutex<Receiver<T>>) -> Option<T> {
    // A receiver is whole between any two calls.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::time::Duration;

    use super::*;
    use anyhow::bail;

    #[test]
    fn every_item_comes_once_and_failures_stop_nothing() {
        for jobs in [1, 2, 5] {
            let work: Vec<usize> = (0..40).map(|item| item * 3).collect();
            let read = |item: usize| if item == 9 { bail!("unreadable") } else { Ok(item as u64) };
            let score = |job: usize, item: usize, read: u64| {
                assert!(job < jobs && read == item as u64);
                if item == 30 { bail!("unscorable") } else { Ok(read * 2) }
            };
            let mut found = Vec::new();
            let done = |item: usize, outcome: Result<u64>| {
                found.push((item, outcome.map_err(|error| error.to_string())));
                Ok(())
            };
            run(&work, jobs, read, score, || false, done).unwrap();
            found.sort();
            let expected = work.iter().map(|&item| match item {
                9 => (item, Err("unreadable".to_owned())),
                30 => (item, Err("unscorable".to_owned())),
                _ => (item, Ok(item as u64 * 2)),
            });
            assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_so_many_are_in_memory() {
        const JOBS: usize = 2;
        const MOST: usize = 2 * JOBS;
        // How many are in memory now, and how many were at most.
        let (counts, changed) = (Mutex::new((0, 0)), Condvar::new());
        let read = |_: usize| {
            let mut counts = counts.lock().unwrap();
            counts.0 += 1;
            counts.1 = counts.1.max(counts.0);
            changed.notify_all();
            Ok(())
        };
        let score = |_: usize, _: usize, ()| {
            // While the first episodes are scored the next ones are read, as many as there may be.
            let (guard, waited) = changed
                .wait_timeout_while(counts.lock().unwrap(), Duration::from_secs(20), |counts| counts.1 < MOST)
                .unwrap();
            assert!(!waited.timed_out(), "only {} were in memory", guard.1);
            // A moment for one too many to be read.
            let moment = Duration::from_millis(2);
            let (mut guard, _) =
                changed.wait_timeout_while(guard, moment, |counts| counts.0 <= MOST).unwrap();
            guard.0 -= 1;
            Ok(())
        };
        let work: Vec<usize> = (0..50).collect();
        run(&work, JOBS, read, score, || false, |_, _: Result<()>| Ok(())).unwrap();
        assert_eq!(counts.into_inner().unwrap().1, MOST);
    }

    #[test]
    fn nothing_is_begun_after_a_stop_or_a_failed_end() {
        let work: Vec<usize> = (0..1000).collect();
        let begun = AtomicUsize::new(0);
        let score = |_: usize, _: usize, ()| Ok(begun.fetch_add(1, Ordering::SeqCst));
        let stop = || begun.load(Ordering::SeqCst) >= 10;
        run(&work, 2, |_| Ok(()), score, stop, |_, _: Result<usize>| Ok(())).unwrap();
        assert!(begun.load(Ordering::SeqCst) <= 12);
        let failing =
            run(&work, 2, |_| Ok(()), |_, _, ()| Ok(()), || false, |_, _: Result<()>| bail!("full"));
        assert_eq!(failing.unwrap_err().to_string(), "full");
    }
}
