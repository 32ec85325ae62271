//! What is damaged or missing is one line that names the file, and the other episodes stay usable.

use std::fs;

use super::*;

const DATA: &str = "data/chunk-000/episode_000001.parquet";

fn told(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// What playing each episode says.
fn outcomes(folder: &Path, camera: &str) -> Vec<Result<usize, String>> {
    let episodes = Dataset::open(folder).unwrap().episodes(Some(camera), None).unwrap();
    episodes.iter().map(|episode| play(episode).map(|frames| frames.len()).map_err(told)).collect()
}

/// That only the second episode fails, and what it says.
fn second_fails(folder: &Path) -> String {
    let [Ok(8), Err(told), Ok(6)] = &outcomes(folder, FRONT)[..] else {
        panic!("{:?}", outcomes(folder, FRONT));
    };
    told.clone()
}

fn edit_info(folder: &Path, from: &str, to: &str) {
    let file = folder.join("meta/info.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from));
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn unknown_versions_say_what_to_do() {
    for (version, words) in [("v2.0", "convert_dataset_v20_to_v21"), ("v1.6", "v1_to_v2"), ("v3.1", "newer")]
    {
        let folder = copy("v2.1");
        edit_info(folder.path(), "\"v2.1\"", &format!("\"{version}\""));
        let told = told(Dataset::open(folder.path()).unwrap_err());
        assert!(told.contains(version) && told.contains(words) && told.contains("info.json"), "{told}");
    }
    let folder = copy("v2.1");
    fs::write(folder.path().join("meta/info.json"), "{\"fps\": 10}").unwrap();
    assert!(told(Dataset::open(folder.path()).unwrap_err()).contains("codebase_version"));
    assert!(told(Dataset::open(Path::new("/no/such")).unwrap_err()).contains("/no/such/meta/info.json"));
}

#[test]
fn cameras_are_listed_where_the_choice_is_wrong() {
    let several = told(open("v3.0").episodes(None, None).err().unwrap());
    assert!(several.contains("--camera") && several.contains(&format!("{FRONT}, {WRIST}")), "{several}");
    let unknown = told(open("v2.1").episodes(Some("observation.images.top"), None).err().unwrap());
    assert!(unknown.contains("observation.images.top") && unknown.contains(WRIST), "{unknown}");
    let folder = copy("v2.1");
    edit_info(folder.path(), "\"video.is_depth_map\": false", "\"video.is_depth_map\": true");
    let dataset = Dataset::open(folder.path()).unwrap();
    assert!(told(dataset.episodes(Some(FRONT), None).err().unwrap()).contains("depth"));
    assert!(told(dataset.episodes(None, None).err().unwrap()).contains("no camera"));
}

#[test]
fn paths_do_not_lead_out_of_the_dataset() {
    let folder = copy("v3.0-images");
    edit_info(folder.path(), "\"data/chunk", "\"../data/chunk");
    let told = outcomes(folder.path(), FRONT)[0].clone().unwrap_err();
    assert!(told.contains("leads out"), "{told}");
}

#[test]
fn a_damaged_data_file_costs_its_episode_alone() {
    if !ffmpeg() {
        return;
    }
    let folder = copy("v2.1");
    let data = folder.path().join(DATA);
    let whole = fs::read(&data).unwrap();
    fs::write(&data, &whole[..whole.len() / 2]).unwrap();
    let cut = second_fails(folder.path());
    assert!(cut.contains("episode_000001.parquet") && cut.contains("cut short"), "{cut}");
    fs::remove_file(&data).unwrap();
    assert!(second_fails(folder.path()).contains("there is no file"));
    // Another episode's data under this one's name.
    fs::copy(folder.path().join("data/chunk-000/episode_000000.parquet"), &data).unwrap();
    let others = second_fails(folder.path());
    assert!(others.contains("0 rows of episode 1, but the dataset declares 7 frames"), "{others}");
}

#[test]
fn a_missing_column_is_named_with_those_there_are() {
    if !ffmpeg() {
        return;
    }
    let folder = copy("v2.1");
    let data = folder.path().join(DATA);
    // The column's name is written twice in the footer, and in the description for data frames.
    let bytes = fs::read(&data).unwrap();
    let name = b"frame_index";
    let mut renamed = bytes.clone();
    for start in 0..bytes.len() - name.len() {
        if &bytes[start..start + name.len()] == name {
            renamed[start..start + name.len()].copy_from_slice(b"frame_indxe");
        }
    }
    fs::write(&data, renamed).unwrap();
    let told = second_fails(folder.path());
    assert!(told.contains("no column \"frame_index\"") && told.contains("timestamp"), "{told}");
}

#[test]
fn a_missing_or_wrong_video_costs_its_episode_alone() {
    if !ffmpeg() {
        return;
    }
    let folder = copy("v2.1");
    let video = |number: usize| {
        let name = format!("videos/chunk-000/{FRONT}/episode_{number:06}.mp4");
        folder.path().join(name)
    };
    fs::remove_file(video(1)).unwrap();
    assert!(second_fails(folder.path()).contains("episode_000001.mp4"));
    fs::copy(video(0), video(1)).unwrap();
    let longer = second_fails(folder.path());
    assert!(longer.contains("8 frames of episode 1, and the data 7"), "{longer}");
    fs::copy(video(2), video(1)).unwrap();
    let shorter = second_fails(folder.path());
    assert!(shorter.contains("6 frames of episode 1, and the data 7"), "{shorter}");
}

#[test]
fn damaged_descriptions_name_their_file_and_line() {
    let folder = copy("v2.1");
    let file = folder.path().join("meta/episodes.jsonl");
    let text = fs::read_to_string(&file).unwrap().replacen("\"length\": 7", "\"size\": 7", 1);
    fs::write(&file, text).unwrap();
    let dataset = Dataset::open(folder.path()).unwrap();
    let [line] = dataset.problems() else { panic!("{:?}", dataset.problems()) };
    let line = told(line);
    assert!(line.contains("episodes.jsonl:2") && line.contains("length"), "{line}");
    let left = dataset.episodes(Some(FRONT), None).unwrap();
    assert_eq!(left.iter().map(|episode| episode.index).collect::<Vec<_>>(), [0, 2]);
    let folder = copy("v3.0");
    fs::remove_file(folder.path().join("meta/tasks.parquet")).unwrap();
    assert!(told(Dataset::open(folder.path()).unwrap_err()).contains("tasks.parquet"));
}

const META: &str = "meta/episodes/chunk-000";

#[test]
fn one_file_of_descriptions_costs_its_episodes_alone() {
    let folder = copy("v3.0-images");
    let meta = folder.path().join(META);
    // What a killed recorder leaves, what macOS adds, and what an editor of notebooks keeps.
    fs::write(meta.join("file-001.parquet"), [b"PAR1".as_slice(), &[1; 500]].concat()).unwrap();
    fs::write(meta.join("._file-000.parquet"), [0; 120]).unwrap();
    fs::create_dir(meta.join(".ipynb_checkpoints")).unwrap();
    fs::copy(meta.join("file-000.parquet"), meta.join(".ipynb_checkpoints/file-000.parquet")).unwrap();
    let dataset = Dataset::open(folder.path()).unwrap();
    let [problem] = dataset.problems() else { panic!("{:?}", dataset.problems()) };
    let problem = told(problem);
    assert!(problem.contains("file-001.parquet") && problem.contains("never finished"), "{problem}");
    assert_eq!(outcomes(folder.path(), FRONT), [Ok(8), Ok(7), Ok(6)]);
    // The command scores them, and says so by its exit code.
    let text = common::text;
    let model = common::repository().join("models/so101-sim");
    let arguments = ["score", "--model", text(&model), "--max-pixels", "4096", text(folder.path())];
    let output = common::topreward(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", common::stderr(&output));
    assert!(common::stderr(&output).contains("file-001.parquet"), "{}", common::stderr(&output));
    assert!(common::stdout(&output).contains("episode_000002"), "{}", common::stdout(&output));
}

#[test]
fn rows_are_found_wherever_they_lie() {
    let folder = copy("v3.0-images");
    let data = folder.path().join("data/chunk-000");
    let expected: Vec<_> = open("v3.0-images")
        .episodes(None, None)
        .unwrap()
        .iter()
        .map(|episode| play(episode).unwrap())
        .collect();
    // As in merged sets: the descriptions name a file that is not there.
    fs::rename(data.join("file-000.parquet"), data.join("file-007.parquet")).unwrap();
    fs::write(data.join("._file-007.parquet"), [0; 50]).unwrap();
    let found = Dataset::open(folder.path()).unwrap().episodes(None, None).unwrap();
    for (episode, expected) in found.iter().zip(&expected) {
        assert!(play(episode).unwrap() == *expected, "{}", episode.name);
    }
    fs::remove_file(data.join("file-007.parquet")).unwrap();
    assert!(outcomes(folder.path(), FRONT)[0].clone().unwrap_err().contains("file-000.parquet"));
}

#[test]
fn what_a_dataset_lacks_is_named() {
    let folder = copy("v3.0");
    fs::remove_dir_all(folder.path().join("meta/episodes")).unwrap();
    let unfinished = told(Dataset::open(folder.path()).unwrap_err());
    assert!(unfinished.contains("never finished") && unfinished.contains("finalize"), "{unfinished}");

    let info = |folder: &Path| folder.join("meta/info.json");
    let folder = copy("v2.1");
    let text = fs::read(info(folder.path())).unwrap();
    fs::write(info(folder.path()), [b"\xEF\xBB\xBF".as_slice(), &text].concat()).unwrap();
    assert_eq!(Dataset::open(folder.path()).unwrap().summary().episodes, 3);
    // "Robot" in Chinese, in GBK.
    fs::write(info(folder.path()), b"{\"robot_type\": \"\xbb\xfa\xc6\xf7\xc8\xcb\"}").unwrap();
    assert!(told(Dataset::open(folder.path()).unwrap_err()).contains("GBK"));
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n";
    fs::write(info(folder.path()), pointer).unwrap();
    assert!(told(Dataset::open(folder.path()).unwrap_err()).contains("git lfs pull"));

    let folder = copy("v3.0-images");
    fs::write(folder.path().join("data/chunk-000/file-000.parquet"), pointer).unwrap();
    assert!(outcomes(folder.path(), FRONT)[0].clone().unwrap_err().contains("git lfs pull"));
}

#[test]
fn a_task_may_stand_by_itself() {
    let folder = copy("v2.1");
    let file = folder.path().join("meta/episodes.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let single = text.replace("\"tasks\": [", "\"tasks\": ").replace("], \"length\"", ", \"length\"");
    assert_ne!(text, single);
    fs::write(&file, single).unwrap();
    let tasks = |folder: &Path| -> Vec<Option<String>> {
        let episodes = Dataset::open(folder).unwrap().episodes(Some(FRONT), None).unwrap();
        episodes.into_iter().map(|episode| episode.instruction).collect()
    };
    assert_eq!(tasks(folder.path()), tasks(&fixture("v2.1")));
}

#[test]
fn an_episode_that_is_described_twice_is_left_out() {
    let folder = copy("v2.1");
    let file = folder.path().join("meta/episodes.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let twice = format!("{text}\n{}\n", text.lines().nth(1).unwrap());
    fs::write(&file, twice).unwrap();
    let dataset = Dataset::open(folder.path()).unwrap();
    assert!(told(&dataset.problems()[0]).contains("episode 1 twice"));
    let left = dataset.episodes(Some(FRONT), None).unwrap();
    assert_eq!(left.iter().map(|episode| episode.index).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn names_of_others_steer_no_terminal() {
    let folder = copy("v2.1");
    let file = folder.path().join("meta/tasks.jsonl");
    let text = fs::read_to_string(&file).unwrap().replacen("red cube", "red\\u001b[2J cube", 1);
    fs::write(&file, text).unwrap();
    let output = common::topreward(&["inspect", common::text(folder.path())]);
    let said = common::stdout(&output);
    assert!(said.contains("red\\u001b[2J cube") && !said.contains('\u{1b}'), "{said}");
}

/// Whatever byte of a data file is wrong, reading it ends in frames or in a line, never in a panic or without end. The
/// parquet library panics at some of them; what it prints then belongs to this test.
#[test]
fn no_byte_of_a_data_file_brings_the_reader_down() {
    let folder = copy("v3.0");
    let data = folder.path().join("data/chunk-000/file-000.parquet");
    let whole = fs::read(&data).unwrap();
    let dataset = Dataset::open(folder.path()).unwrap();
    let sound = dataset.rows(1).unwrap();
    let mut refused = 0;
    // A fixed walk over places and values; every fifth byte, since each costs a file.
    let mut state = 0x9E37_79B9_u32;
    for place in (0..whole.len()).step_by(5) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut bytes = whole.clone();
        bytes[place] ^= (state >> 24) as u8 | 1;
        fs::write(&data, &bytes).unwrap();
        match dataset.rows(1) {
            Ok(rows) => assert_eq!(rows.len(), sound.len()),
            Err(error) => {
                refused += 1;
                told(error);
            }
        }
    }
    assert!(refused > whole.len() / 100, "{refused} of {}", whole.len());
}

#[test]
fn boundaries_that_are_off_are_found_by_counting_frames() {
    if !ffmpeg() {
        return;
    }
    let folder = copy("v3.0");
    let meta = folder.path().join("meta/episodes/chunk-000/file-000.parquet");
    let mut bytes = fs::read(&meta).unwrap();
    // The second episode begins after 8 frames of a tenth of a second; now .7 of a frame later.
    let (right, wrong) = (0.8_f64.to_le_bytes(), 0.87_f64.to_le_bytes());
    let places: Vec<usize> = (0..bytes.len() - 8).filter(|at| bytes[*at..at + 8] == right).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + 8].copy_from_slice(&wrong);
    }
    fs::write(&meta, bytes).unwrap();
    let (off, right) = (Dataset::open(folder.path()).unwrap(), open("v3.0"));
    for (off, right) in
        off.episodes(Some(FRONT), None).unwrap().iter().zip(right.episodes(Some(FRONT), None).unwrap())
    {
        assert!(play(off).unwrap() == play(&right).unwrap(), "{}", off.name);
    }
}
