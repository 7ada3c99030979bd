// SPDX-License-Identifier: GPL-2.0

//! `completions`: what the shells are told.

use bytelog_cli::cli::Cli;
use bytelog_cli::error::Status;
use clap::{CommandFactory, Parser};
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
