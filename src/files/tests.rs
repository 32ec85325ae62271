use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    write(&file, b"one").unwrap();
    write(&file, b"two").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"two");
    assert_eq!(names(folder.path()), ["a.json"]);
}

#[test]
fn a_file_may_be_read_by_whoever_may_read_others() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, plain] = ["ours", "plain"].map(|name| folder.path().join(name));
    write(&ours, b"x").unwrap();
    fs::write(&plain, b"x").unwrap();
    let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a.json/full")).unwrap();
    write(&folder.path().join("a.json"), b"one").unwrap_err();
    assert_eq!(names(folder.path()), ["a.json"]);
    let missing = write(&folder.path().join("none/a.json"), b"one").unwrap_err();
    assert_eq!(missing.to_string(), "No such file or directory (os error 2)");
    drop(Unfinished::beside(&folder.path().join("b.json")).unwrap());
    assert_eq!(names(folder.path()), ["a.json"]);
}

#[test]
fn a_link_is_replaced_and_what_is_no_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let [file, link, socket] = ["file", "link", "socket"].map(|name| folder.path().join(name));
    fs::write(&file, b"somebody's").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    write(&link, b"ours").unwrap();
    assert_eq!((fs::read(&file).unwrap(), fs::read(&link).unwrap()), (b"somebody's".into(), b"ours".into()));
    // Like a pipe or a device it is opened as it is, and a socket cannot be.
    let _listener = UnixListener::bind(&socket).unwrap();
    write(&socket, b"x").unwrap_err();
    write(Path::new("/dev/null"), b"x").unwrap();
    assert_eq!(names(folder.path()), ["file", "link", "socket"]);
}

#[test]
fn what_killed_programs_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let other = [".hidden", ".tmp-7-x", ".tmp-cache", ".tmp-topreward", "b.json"];
    let left = [".tmp-7-0", ".tmp-topreward-Xy1234"];
    for name in other.iter().chain(&left) {
        fs::write(folder.path().join(name), b"x").unwrap();
    }
    sweep(folder.path()).unwrap();
    assert_eq!(names(folder.path()), other);
}

#[test]
fn what_is_still_being_written_is_not_swept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    let mut unfinished = Unfinished::beside(&file).unwrap();
    sweep(folder.path()).unwrap();
    unfinished.write_all(b"one").unwrap();
    unfinished.finish().unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"one");
    assert_eq!(names(folder.path()), ["a.json"]);
}

#[test]
fn sweeping_all_the_time_disturbs_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                sweep(folder.path()).unwrap();
            }
        });
        let written: Vec<io::Result<()>> = (0..300u32)
            .map(|number| write(&folder.path().join(format!("{}", number % 7)), &number.to_le_bytes()))
            .collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        written.into_iter().collect::<io::Result<Vec<()>>>().unwrap();
    });
    assert_eq!(names(folder.path()), ["0", "1", "2", "3", "4", "5", "6"]);
}

#[test]
fn a_lock_ends_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let open = || File::open(folder.path()).unwrap();
    let first = open();
    assert!(matches!(lock(&first), Lock::Held));
    assert!(matches!(lock(open()), Lock::Busy));
    drop(first);
    assert!(matches!(lock(open()), Lock::Held));
}
