// SPDX-License-Identifier: GPL-2.0

//! `bytelog man`: the man pages, made from the command line's own definition.

use crate::error::{Error, Result};
use clap::Command;
use clap_mangen::Man;
use std::fs;
use std::path::Path;

/// The section of the manual: commands for the administrator.
const SECTION: &str = "8";

/// Writes a page for the command and one for each of its subcommands to the directory
/// `dir`.
pub fn write(command: Command, dir: &Path) -> Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    page(&command, "bytelog", dir)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        page(sub, &format!("bytelog-{}", sub.get_name()), dir)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str, dir: &Path) -> Result<()> {
    let path = dir.join(format!("{name}.{SECTION}"));
    let man = Man::new(command.clone().display_name(name.to_owned()))
        .title(name.to_uppercase())
        .section(SECTION)
        .manual("ext4 ByteLog")
        // Not the day on which it was built.
        .date("");
    let mut text = b".\\\" SPDX-License-Identifier: GPL-2.0\n".to_vec();
    man.render(&mut text)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| Error::open(&path.display().to_string(), &error))
}
