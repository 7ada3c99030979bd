// SPDX-License-Identifier: GPL-2.0

//! `bytelog`: see `bytelog help`. By the name of `fsck.ext4` it is what boots call.

use bytelog_cli::cli::{written, Cli};
use bytelog_cli::command::fsck_ext4;
use bytelog_cli::error::Status;
use clap::Parser;
use std::ffi::{OsStr, OsString};
use std::io::{stderr, stdout, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next();
    if name.is_some_and(|name| Path::new(&name).file_name() == Some(OsStr::new(fsck_ext4::NAME))) {
        let args: Vec<OsString> = args.collect();
        return fsck_ext4::main(&args).into();
    }
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
