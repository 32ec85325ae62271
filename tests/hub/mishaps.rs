//! Downloads that go wrong on the way.

use std::time::Instant;

use super::*;

fn size(lab: &Lab, name: &str) -> usize {
    lab.hub.content(name).len()
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let lab = Lab::new();
    // The second cut is counted from where the second answer begins.
    lab.hub.mishaps(Mishaps { cuts: vec![(WEIGHTS, 200_000), (WEIGHTS, 100_000)], ..Mishaps::default() });
    let folder = lab.fetch().unwrap();
    lab.assert_whole(&folder);
    assert_eq!(score(&folder), score(&golden("tied")));
    let ranges: Vec<_> = lab
        .hub
        .take_files()
        .into_iter()
        .filter(|(name, _)| name == WEIGHTS)
        .map(|(_, range)| range)
        .collect();
    assert_eq!(ranges, [None, Some("bytes=200000-".to_owned()), Some("bytes=300000-".to_owned())]);
}

#[test]
fn the_next_start_goes_on_where_the_last_one_stopped() {
    let mut lab = Lab::new();
    lab.settings.retry.attempts = 1;
    lab.hub.mishaps(Mishaps { cuts: vec![(WEIGHTS, 123_457)], ..Mishaps::default() });
    let all = format!("123457 of {} bytes", size(&lab, WEIGHTS));
    lab.refused(ID, &[WEIGHTS, "stopped at", &all, "start again"]);
    let (blob, part) = lab.blob(WEIGHTS);
    assert_eq!(std::fs::metadata(&part).unwrap().len(), 123_457);
    assert!(!blob.exists() && !lab.model().join("refs/main").exists());
    lab.hub.take_seen();
    lab.assert_whole(&lab.fetch().unwrap());
    assert_eq!(lab.hub.take_files(), [(WEIGHTS.to_owned(), Some("bytes=123457-".to_owned()))]);
}

#[test]
fn tries_that_bring_nothing_are_counted() {
    let lab = Lab::new();
    lab.hub.mishaps(Mishaps { cuts: vec![("config.json", 0); 9], ..Mishaps::default() });
    lab.refused(ID, &["config.json", "stopped at 0 of"]);
    let tries = lab.hub.take_files().iter().filter(|(name, _)| name == "config.json").count();
    assert_eq!(tries as u32, lab.settings.retry.attempts);
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let lab = Lab::new();
    lab.hub.mishaps(Mishaps { cuts: vec![(WEIGHTS, 5000)], no_ranges: true, ..Mishaps::default() });
    lab.assert_whole(&lab.fetch().unwrap());
}

#[test]
fn part_files_of_any_kind_are_survived() {
    let lab = Lab::new();
    lab.fetch().unwrap();
    let (blob, part) = lab.blob(WEIGHTS);
    // Whole, but never put in its place: nothing is asked for.
    std::fs::rename(&blob, &part).unwrap();
    lab.hub.take_seen();
    lab.assert_whole(&lab.fetch().unwrap());
    assert!(lab.hub.take_files().is_empty());
    // Longer than the file.
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&part, vec![0; size(&lab, WEIGHTS) + 1]).unwrap();
    lab.assert_whole(&lab.fetch().unwrap());
    // Other bytes: found at the end, removed, and right the next time.
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&part, vec![0; 1000]).unwrap();
    lab.refused(ID, &[WEIGHTS, "hash"]);
    assert!(!part.exists() && !blob.exists());
    lab.assert_whole(&lab.fetch().unwrap());
}

#[test]
fn a_wrong_hash_is_found_and_said() {
    for name in [WEIGHTS, "tokenizer.json", "config.json"] {
        let lab = Lab::new();
        lab.hub.mishaps(Mishaps { corrupt: Some(name), ..Mishaps::default() });
        let (blob, part) = lab.blob(name);
        let expected = blob.file_name().unwrap().to_str().unwrap();
        let mut damaged = lab.hub.content(name);
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        let found = if expected.len() == 64 { sha256(&damaged) } else { git_blob(&damaged) };
        lab.refused(ID, &[name, "damaged", expected, &found, "removed"]);
        assert!(!blob.exists() && !part.exists());
        assert!(!lab.model().join("snapshots").join(COMMIT).join(name).exists());
        lab.hub.mishaps(Mishaps::default());
        lab.assert_whole(&lab.fetch().unwrap());
    }
}

#[test]
fn a_wrong_size_is_found_and_said() {
    let lab = Lab::new();
    lab.hub.mishaps(Mishaps { shorter: Some(WEIGHTS), ..Mishaps::default() });
    let size = size(&lab, WEIGHTS);
    lab.refused(ID, &[WEIGHTS, "wrong size", &format!("{size} bytes"), &format!("{} found", size - 1)]);
    let (blob, part) = lab.blob(WEIGHTS);
    assert!(!blob.exists() && !part.exists());
}

#[test]
fn a_hub_in_trouble_is_asked_again() {
    let lab = Lab::new();
    lab.hub.mishaps(Mishaps { statuses: vec![503, 429], ..Mishaps::default() });
    lab.assert_whole(&lab.fetch().unwrap());
    let lab = Lab::new();
    lab.hub.mishaps(Mishaps { statuses: vec![503; 9], ..Mishaps::default() });
    lab.refused(ID, &[&lab.hub.endpoint, "status 503"]);
    assert_eq!(lab.hub.take_seen().len() as u32, lab.settings.retry.attempts);
}

#[test]
fn a_connection_that_goes_silent_is_given_up() {
    let mut lab = Lab::new();
    lab.settings.retry.silence = Duration::from_secs(1);
    lab.settings.retry.attempts = 2;
    lab.hub.mishaps(Mishaps { silent: Some("config.json"), ..Mishaps::default() });
    let begin = Instant::now();
    let half = format!("stopped at {} of", size(&lab, "config.json") / 2);
    lab.refused(ID, &["config.json", &half, "no data has arrived for 1 s", "start again"]);
    assert!(begin.elapsed() >= Duration::from_secs(2), "both tries wait");
    lab.hub.mishaps(Mishaps::default());
    lab.assert_whole(&lab.fetch().unwrap());
}

#[test]
fn a_stop_takes_effect_within_a_second_and_keeps_what_came() {
    let lab = Lab::new();
    lab.hub.mishaps(Mishaps { silent: Some(WEIGHTS), ..Mishaps::default() });
    let half = size(&lab, WEIGHTS) as u64 / 2;
    let mut stopped: Option<Instant> = None;
    let error = fetch(&ID.parse().unwrap(), &lab.settings, &mut |progress| {
        if progress.file == WEIGHTS && progress.file_bytes >= half {
            stopped.get_or_insert_with(Instant::now);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
    .unwrap_err();
    assert!(matches!(error, HubError::Cancelled));
    assert!(stopped.unwrap().elapsed() < Duration::from_secs(1));
    assert_eq!(std::fs::metadata(lab.blob(WEIGHTS).1).unwrap().len(), half);
    lab.hub.mishaps(Mishaps::default());
    lab.hub.take_seen();
    lab.assert_whole(&lab.fetch().unwrap());
    assert_eq!(lab.hub.take_files(), [(WEIGHTS.to_owned(), Some(format!("bytes={half}-")))]);
}

#[test]
fn a_stop_is_heard_while_the_hub_does_not_answer() {
    // Connections are taken by the system, but never answered.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut lab = Lab::new();
    lab.settings.endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut calls = 0;
    let mut last = Instant::now();
    let error = fetch(&ID.parse().unwrap(), &lab.settings, &mut |_| {
        assert!(last.elapsed() < Duration::from_secs(1), "the next stop would not have been heard in time");
        last = Instant::now();
        calls += 1;
        if calls > 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(error, Err(HubError::Cancelled)));
    assert!(last.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_full_disk_is_said_with_what_is_needed() {
    let lab = Lab::new();
    let (blob, part) = lab.blob(WEIGHTS);
    std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let needed = format!("{} bytes more", size(&lab, WEIGHTS));
    lab.refused(ID, &["disk is full", &needed, "HF_HOME"]);
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let mut lab = Lab::new();
    let file = lab.home.path().join("file");
    std::fs::write(&file, "").unwrap();
    lab.settings.cache = file.join("hub");
    lab.refused(ID, &["cannot be written", file.to_str().unwrap(), "HF_HOME"]);
}
