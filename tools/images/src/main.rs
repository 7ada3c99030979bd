// SPDX-License-Identifier: GPL-2.0

//! `bytelog-images`: e2fsprogs' own test images through every subcommand of `bytelog`.

use anyhow::{bail, Result};
use bytelog_images::check::Checker;
use bytelog_images::checkout::images;
use clap::Parser;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs every subcommand of bytelog on the test images of e2fsprogs. Ends with 1 where
/// one panics, hangs, writes though it only reads, or is not what e2fsck is.
#[derive(Parser)]
struct Args {
    /// The bytelog to check.
    #[arg(long, value_name = "FILE")]
    bytelog: PathBuf,
    /// Directory for the images while they are checked.
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// Only images with this in their names.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// A checkout of e2fsprogs.
    checkout: PathBuf,
}

fn main() -> ExitCode {
    match check(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bytelog-images: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(args: &Args) -> Result<bool> {
    fs::create_dir_all(&args.work)?;
    let checker = Checker {
        bytelog: fs::canonicalize(&args.bytelog)?,
        dir: args.work.clone(),
    };
    let (mut count, mut faulty, mut runs) = (0, 0, 0);
    for packed in images(&args.checkout)? {
        if !packed.name.contains(&args.filter) {
            continue;
        }
        for (name, image) in packed.unpack()? {
            let found = checker.check(&image)?;
            count += 1;
            runs += found.runs;
            faulty += u32::from(!found.wrong.is_empty());
            for options in found.endless {
                println!("{name}: e2fsck {options} itself does not end; not compared");
            }
            for wrong in found.wrong {
                println!("{name}: {wrong}");
            }
        }
    }
    if count == 0 {
        bail!("{}: no images", args.checkout.display());
    }
    println!("{count} images, {runs} runs of bytelog, {faulty} images with something wrong");
    Ok(faulty == 0)
}
