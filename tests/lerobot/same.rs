//! What is read is the same from every version, and what the library was given.

use topreward::offline::recording::lerobot::{Episodes, Storage};
use topreward::offline::recording::sample;

use super::*;

#[test]
fn both_versions_and_pictures_have_the_same_frames_and_stamps() {
    let numbers: Vec<usize> = (0..3).collect();
    let images = open("v3.0-images").episodes(None, None).unwrap();
    let wanted: Vec<_> = images.iter().map(|episode| play(episode).unwrap()).collect();
    for number in &numbers {
        // 10 frames a second, as the simulator recorded.
        let stamps: Vec<i64> = wanted[*number].iter().map(|frame| frame.0).collect();
        let regular: Vec<i64> = (0..LENGTHS[*number] as i64).map(|frame| frame * 100_000_000).collect();
        assert_eq!(stamps, regular);
        assert!(wanted[*number].iter().all(|frame| frame.1.len() == 48 * 36 * 3));
    }
    let mut pixels: Vec<&Vec<u8>> = wanted.iter().flatten().map(|frame| &frame.1).collect();
    pixels.sort();
    pixels.dedup();
    assert!(pixels.len() > 15, "frames differ, so that a wrong one would show: {}", pixels.len());
    if !ffmpeg() {
        return;
    }
    for version in ["v2.1", "v3.0"] {
        let episodes = open(version).episodes(Some(FRONT), None).unwrap();
        for (episode, wanted) in episodes.iter().zip(&wanted) {
            assert!(play(episode).unwrap() == *wanted, "{version} {}", episode.name);
        }
    }
}

#[test]
fn a_camera_is_chosen_by_its_key() {
    if !ffmpeg() {
        return;
    }
    for version in ["v2.1", "v3.0"] {
        let dataset = open(version);
        let of = |camera| play(&dataset.episodes(Some(camera), None).unwrap()[1]).unwrap();
        for (front, wrist) in of(FRONT).iter().zip(of(WRIST)) {
            // The wrist was made of the front's rows from the last to the first.
            let turned: Vec<u8> = front.1.chunks_exact(48 * 3).rev().flatten().copied().collect();
            assert!(turned == wrist.1 && front.0 == wrist.0, "{version}");
        }
    }
}

#[test]
fn samples_are_those_of_the_nodes_rule() {
    let images = open("v3.0-images").episodes(None, None).unwrap();
    let sampled = sample(&*images[0].footage, &images[0].name, 5.0).unwrap();
    assert_eq!(sampled.numbers, [0, 2, 4, 6]);
    assert_eq!(sampled.recorded_s.len(), 8);
    assert_eq!(sampled.frames[3].time_s, 0.6);
}

#[test]
fn episodes_carry_their_number_and_task() {
    let tasks = [
        "put the red cube on the target marker",
        "Move the green cube onto the target position.",
        "put the blue cube on the target position.",
    ];
    for version in ["v2.1", "v3.0", "v3.0-images"] {
        let dataset = open(version);
        let episodes = dataset.episodes(Some(FRONT), None).unwrap();
        assert_eq!(episodes.iter().map(|episode| episode.index).collect::<Vec<_>>(), [0, 1, 2]);
        let found: Vec<_> = episodes.iter().map(|episode| episode.instruction.as_deref().unwrap()).collect();
        assert_eq!(found, tasks, "{version}");
        assert_eq!(episodes[2].name, "episode_000002");
    }
}

#[test]
fn of_several_tasks_the_first_frames_is_taken() {
    let folder = copy("v2.1");
    let file = folder.path().join("meta/episodes.jsonl");
    let green = "\"Move the green cube onto the target position.\"";
    let text = std::fs::read_to_string(&file).unwrap();
    let two = text.replace(green, &format!("\"another task\", {green}"));
    assert_ne!(text, two);
    std::fs::write(&file, two).unwrap();
    let episodes = Dataset::open(folder.path()).unwrap().episodes(Some(FRONT), None).unwrap();
    // The data file has task_index 1 throughout.
    assert_eq!(episodes[1].instruction.as_deref(), Some(green.trim_matches('"')));
}

#[test]
fn a_range_of_episodes_is_chosen_and_one_that_is_not_there_is_named() {
    for version in ["v2.1", "v3.0"] {
        let dataset = open(version);
        let chosen = |text: &str| {
            let chosen: Episodes = text.parse().unwrap();
            let episodes = dataset.episodes(Some(FRONT), Some(&chosen));
            episodes.map(|all| all.iter().map(|episode| episode.index).collect::<Vec<_>>())
        };
        assert_eq!(chosen("1-2").unwrap(), [1, 2]);
        assert_eq!(chosen("2,0").unwrap(), [0, 2]);
        let told = chosen("1-7").unwrap_err().to_string();
        assert!(told.contains("no episode 3") && told.contains("0 to 2"), "{told}");
        assert!(chosen("0-18446744073709551615").is_err(), "without counting to the end");
    }
}

#[test]
fn rows_count_through_the_whole_dataset() {
    for version in ["v2.1", "v3.0", "v3.0-images"] {
        let dataset = open(version);
        let rows = dataset.rows(1).unwrap();
        // Behind the first episode's 8 frames.
        assert_eq!(rows.index, (8..15).collect::<Vec<i64>>(), "{version}");
        assert_eq!(rows.stamp_ns[6], 600_000_000);
        assert_eq!(dataset.rows(2).unwrap().len(), 6);
        assert!(dataset.rows(3).unwrap_err().to_string().contains("no episode 3"));
    }
}

#[test]
fn a_summary_says_what_the_dataset_is() {
    let dataset = open("v3.0");
    let summary = dataset.summary();
    assert_eq!((summary.version.as_str(), summary.episodes, summary.frames), ("v3.0", 3, 21));
    assert_eq!((summary.fps, summary.tasks.len()), (10.0, 3));
    assert_eq!(summary.cameras[0].storage, Storage::Video);
    let text = summary.to_string();
    assert!(text.contains("observation.images.wrist, 48×36, video (h264)"), "{text}");
    assert!(text.contains("so101_sim: 3 episodes, 21 frames at 10 Hz, 2.1 s"), "{text}");
    assert!(open("v3.0-images").summary().to_string().contains("images in the data files"));
    assert!(Dataset::is_dataset(&fixture("v2.1")) && !Dataset::is_dataset(&fixture("")));
}
