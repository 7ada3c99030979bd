// SPDX-License-Identifier: GPL-2.0

//! `bytelog`: see `bytelog help`.

use bytelog_cli::cli::Cli;
use bytelog_cli::error::Status;
use clap::Parser;
use std::io::{stderr, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Help and version come this way, too.
            let status = match usage.use_stderr() {
                true => Status::Usage,
                false => Status::Fine,
            };
            return usage.print().map_or(Status::Failed, |()| status).into();
        }
    };
    // A reader that has gone away, such as head, is no error.
    let status = cli.run(&mut stdout().lock(), &mut stderr().lock());
    status.unwrap_or(Status::Fine).into()
}
