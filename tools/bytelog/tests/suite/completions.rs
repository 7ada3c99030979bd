// SPDX-License-Identifier: GPL-2.0

//! What is made from the command line's definition: completions, man pages, help.

use crate::fixture::{Dir, Fixture};
use crate::forge::{crashed, ON};
use bytelog_cli::cli::Cli;
use bytelog_cli::error::Status;
use clap::{CommandFactory, Parser};
use serde_json::{json, Value};
use std::process::Command;

fn script(shell: &str) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let cli = Cli::try_parse_from(["bytelog", "completions", shell]).unwrap();
    assert_eq!(cli.run(&mut out, &mut err), Status::Fine);
    assert_eq!(String::from_utf8(err).unwrap(), "");
    String::from_utf8(out).unwrap()
}

#[test]
fn every_shell_knows_every_subcommand() {
    for shell in ["bash", "zsh", "fish"] {
        let script = script(shell);
        for sub in Cli::command().get_subcommands() {
            assert!(
                script.contains(sub.get_name()),
                "{shell}: {}",
                sub.get_name()
            );
        }
    }
}

/// All that the command prints for `args`.
fn said(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bytelog"))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_man_page_for_every_subcommand() {
    let dir = Dir::new();
    said(&["man", dir.path("").to_str().unwrap()]);
    let page = |name: &str| std::fs::read_to_string(dir.path(name)).unwrap();
    let main = page("bytelog.8");
    for part in [".TH BYTELOG 8", "65MiB", "bytelog\\-export(8)"] {
        assert!(main.contains(part), "{part}: {main}");
    }
    for sub in Cli::command().get_subcommands() {
        let name = format!("bytelog-{}.8", sub.get_name());
        if sub.is_hide_set() {
            assert!(!dir.path(&name).exists(), "{name}");
            continue;
        }
        let text = page(&name);
        assert!(text.contains(&format!(".TH BYTELOG-{} 8", sub.get_name().to_uppercase())));
        for option in sub.get_arguments().filter_map(|arg| arg.get_long()) {
            let option = option.replace('-', "\\-");
            assert!(text.contains(&option), "{name}: {option}");
        }
    }
    assert!(page("bytelog-export.8").contains("power cut at any point"));
}

#[test]
fn help_has_examples_and_units() {
    let help = said(&["help"]);
    for part in ["65MiB", "bytelog export /dev/pmem0", "Exit status: 0 done"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    let version = said(&["--version"]);
    assert!(version.contains("log format: version 2"), "{version}");
    assert_eq!(said(&["-V"]).lines().count(), 1);
}

/// Every example parses.
#[test]
fn the_examples_are_commands() {
    let help = said(&["help"]);
    let examples = help.split_once("Examples:\n").unwrap().1;
    let examples = examples.split_once("\n\n").unwrap().0;
    let mut count = 0;
    for line in examples
        .lines()
        .filter_map(|line| line.strip_prefix("  bytelog "))
    {
        let line = line.split("  ").next().unwrap();
        let line = line.split(" && ").next().unwrap();
        let words = ["bytelog"].into_iter().chain(line.split(' '));
        assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        count += 1;
    }
    assert!(count > 5, "{count}");
}

/// Every document says which schema it has, and the schema names each of its members.
#[test]
fn json_is_as_its_schema_says() {
    let dir = Dir::new();
    let disk = dir.path("disk.img");
    let image = crashed(&Fixture::new("-b 4096", 3), ON);
    std::fs::write(&disk, image.whole()).unwrap();
    for (name, line) in [
        ("info", "info"),
        ("dump", "dump"),
        ("verify", "verify"),
        ("map", "map"),
        ("export", "export --dry-run"),
        ("error", "info --partition 7"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_bytelog"))
            .arg("--json")
            .args(line.split(' '))
            .arg(&disk)
            .output()
            .unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&told["schema"], &told["version"]),
            (&json!(name), &json!(1))
        );
        let schema: Value = serde_json::from_str(&said(&["schema", name])).unwrap();
        let members = schema["properties"].as_object().unwrap();
        for member in told.as_object().unwrap().keys() {
            assert!(members.contains_key(member), "{name}: {member}");
        }
    }
}

#[test]
fn bash_completes() {
    for (words, wanted) in [("bytelog ver", "verify"), ("bytelog export --t", "--to")] {
        let last = words.rsplit(' ').next().unwrap();
        let run = format!(
            "{}\nCOMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _bytelog bytelog {last} ''\necho \"${{COMPREPLY[*]}}\"",
            script("bash")
        );
        let output = Command::new("bash").args(["-c", &run]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), wanted);
    }
}
