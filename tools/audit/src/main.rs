// SPDX-License-Identifier: GPL-2.0

//! `bytelog-audit`: whether the crates in `Cargo.lock` are what `deny.toml` allows.

use anyhow::{Context, Result};
use bytelog_audit::{advisories, licences, lock, policy::Policy};
use clap::Parser;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks sources, licences and advisories of the crates in Cargo.lock.
#[derive(Parser)]
struct Args {
    /// The lock file.
    #[arg(long, value_name = "FILE", default_value = "Cargo.lock")]
    lock: PathBuf,
    /// What may be in it.
    #[arg(long, value_name = "FILE", default_value = "deny.toml")]
    policy: PathBuf,
    /// What cargo metadata has printed.
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// A checkout of the RustSec database.
    #[arg(long, value_name = "DIR")]
    advisories: Option<PathBuf>,
}

fn main() -> ExitCode {
    match check(&Args::parse()) {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            println!("{}", wrong.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bytelog-audit: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn check(args: &Args) -> Result<Vec<String>> {
    let lock = lock::parse(&read(&args.lock)?)?;
    let policy = Policy::parse(&read(&args.policy)?)?;
    let mut wrong = policy.check(&lock)?;
    if let Some(metadata) = &args.metadata {
        wrong.extend(licences::check(&read(metadata)?, &policy.licenses)?);
    }
    if let Some(dir) = &args.advisories {
        wrong.extend(advisories::check(dir, &lock)?);
    }
    Ok(wrong)
}
