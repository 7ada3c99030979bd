// SPDX-License-Identifier: GPL-2.0

//! `bytelog`: see `bytelog help`.

use bytelog_cli::cli::{written, Cli};
use bytelog_cli::error::Status;
use clap::Parser;
use std::io::{stderr, stdout, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let status = match Cli::try_parse() {
        Ok(cli) => cli.run(&mut stdout().lock(), &mut stderr().lock()),
        Err(usage) => tell_usage(&usage),
    };
    status.into()
}

/// Help and version come this way, too.
fn tell_usage(usage: &clap::Error) -> Status {
    if usage.use_stderr() {
        // There is nowhere else to say it.
        let _ = usage.print();
        return Status::Usage;
    }
    let result = usage.print().and_then(|()| stdout().flush());
    written(result, Status::Fine).unwrap_or_else(|error| {
        let _ = writeln!(stderr(), "bytelog: {error}");
        error.status
    })
}
