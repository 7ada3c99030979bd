// SPDX-License-Identifier: GPL-2.0

//! `stat` and `top` over the files of a machine, recorded.

use crate::fixture::Dir;
use bytelog_cli::command::top::line::{line, HEADER};
use bytelog_cli::command::top::screen::{Key, Look, Screen};
use bytelog_cli::stats::interval::Interval;
use bytelog_cli::stats::sample::{Sample, Selection};
use expect_test::expect_file;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The files that were recorded, in a directory.
pub fn recorded() -> (Dir, PathBuf) {
    let dir = Dir::new();
    let root = dir.path("root");
    for line in include_str!("../recorded/counters.txt").lines() {
        let Some((name, text)) = line.split_once(':').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, format!("{before}{text}\n")).unwrap();
    }
    (dir, root)
}

/// What the command says of `root`.
fn run(root: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bytelog"))
        .args(args)
        .args(["--root", "root"])
        .current_dir(root.parent().unwrap())
        .output()
        .unwrap();
    format!(
        "{}{}exit {}\n",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status.code().unwrap()
    )
}

fn sample(root: &Path) -> Sample {
    let which = Selection {
        devices: Vec::new(),
        root: root.to_owned(),
    };
    which.sample().unwrap().remove(0)
}

/// What happened in two seconds on two filesystems.
fn intervals() -> Vec<Interval> {
    let (_dir, root) = recorded();
    let mut earlier = sample(&root);
    let files = root.join("sys/kernel/debug/ext4_bytelog/pmem0");
    for (name, value) in [
        ("commits", "499"),
        ("empty_commits", "100"),
        ("log_bytes", "102144"),
        ("log_full", "2"),
        ("aborted_commits", "2"),
        ("log_used", "28672"),
    ] {
        fs::write(files.join(name), value).unwrap();
    }
    let latency = fs::read_to_string(files.join("commit_latency_ns")).unwrap();
    let latency = latency.replace("8192: 155\n", "8192: 352\n");
    let latency = latency.replace("32768: 0\n", "32768: 3\n");
    fs::write(files.join("commit_latency_ns"), latency).unwrap();
    let later = sample(&root);
    let time = Duration::from_secs(2);
    let first = Interval::new(Some(&earlier), &later, time);
    earlier.device = "pmem1".to_owned();
    earlier.mounted_on = None;
    // One that is new since.
    vec![first, Interval::new(None, &earlier, time)]
}

#[test]
fn what_was_counted() {
    let (_dir, root) = recorded();
    let mut all = "# SPDX-License-Identifier: GPL-2.0\n\n".to_owned();
    for args in [
        &["stat"][..],
        &["--json", "stat", "/mnt/pmem0"],
        &["top", "pmem0", "--count", "2", "--interval", "0.01"],
    ] {
        all += &format!("$ bytelog {}\n{}\n", args.join(" "), run(&root, args));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/stat.txt");
    expect_file![file].assert_eq(&all);
}

#[test]
fn what_happens() {
    let intervals = intervals();
    let mut all = format!("# SPDX-License-Identifier: GPL-2.0\n\n{HEADER}\n");
    for interval in &intervals {
        all += &format!("{}\n", line(interval));
    }
    let mut screen = Screen::new(Duration::from_millis(2000));
    let draw = |screen: &Screen| {
        let rows = screen.rows(100, 18).into_iter();
        rows.fold("\n".to_owned(), |all, row| {
            all + &format!("{:?}\n", row.text)
        })
    };
    all += &draw(&screen);
    screen.show(intervals);
    all += &draw(&screen);
    // There is no third.
    screen.press(Some(Key::Down));
    screen.press(Some(Key::Down));
    all += &draw(&screen);
    screen.show(Vec::new());
    all += &draw(&screen);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/top.txt");
    expect_file![file].assert_eq(&all);
}

/// The chosen mount is marked, and stays in sight where there are more than fit.
#[test]
fn a_small_screen() {
    let mut screen = Screen::new(Duration::from_secs(1));
    screen.show(intervals());
    for (key, chosen) in [
        (None, "pmem0"),
        (Some(Key::Down), "pmem1"),
        (Some(Key::Up), "pmem0"),
    ] {
        screen.press(key);
        let rows = screen.rows(20, 4);
        assert!(rows.len() == 4 && rows.iter().all(|row| row.text.len() == 20));
        let marked: Vec<_> = rows
            .iter()
            .filter(|row| row.look == Look::Reversed)
            .collect();
        assert_eq!(marked.len(), 1);
        assert!(marked[0].text.starts_with(chosen));
    }
}

#[test]
fn json_has_a_line_for_each_interval() {
    let (_dir, root) = recorded();
    let said = run(
        &root,
        &["--json", "top", "--count", "3", "--interval", "0.01"],
    );
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    for line in &lines[..3] {
        let told: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(told["intervals"][0]["device"], "pmem0");
        assert_eq!(told["intervals"][0]["counters"]["commits"], 0);
        assert!(told["intervals"][0]["seconds"].as_f64().unwrap() >= 0.01);
    }
}

#[test]
fn what_is_missing_is_said() {
    let (dir, root) = recorded();
    let said = run(&root, &["stat", "/dev/pmem7"]);
    assert!(
        said.contains("/dev/pmem7: no mounted filesystem") && said.ends_with("exit 8\n"),
        "{said}"
    );
    let files = root.join("sys/kernel/debug/ext4_bytelog/pmem0");
    fs::write(files.join("fences"), "many").unwrap();
    let said = run(&root, &["stat"]);
    assert!(
        said.contains("pmem0/fences: no number: many") && said.ends_with("exit 8\n"),
        "{said}"
    );
    fs::remove_file(files.join("fences")).unwrap();
    let said = run(&root, &["stat"]);
    assert!(said.contains("different versions"), "{said}");
    // What ext4 and jbd2 say is left out where it is not in sight.
    let (_other, root) = recorded();
    fs::remove_dir_all(root.join("proc")).unwrap();
    let said = run(&root, &["stat"]);
    assert!(
        said.contains("out of sight")
            && !said.contains("full commits")
            && said.ends_with("exit 0\n"),
        "{said}"
    );
    fs::create_dir(dir.path("empty")).unwrap();
    let said = run(&dir.path("empty/root"), &["stat"]);
    assert!(said.contains("mount -t debugfs"), "{said}");
    let said = run(&root, &["top", "--interval", "0"]);
    assert!(said.ends_with("exit 16\n"), "{said}");
}
