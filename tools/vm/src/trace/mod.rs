// SPDX-License-Identifier: GPL-2.0
//! What the crash-state checker needs of a machine: a recording of what the
//! modules store, and mounts of images that a power cut could have left.

mod images;
mod record;

pub use images::mount_images;
pub use record::record;

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// What to record.
#[derive(clap::Args)]
pub struct Args {
    /// The recorder: QEMU's plugin
    #[arg(long)]
    plugin: PathBuf,
    /// Directory for the recording; made if need be
    #[arg(long)]
    dir: PathBuf,
    /// Operations of the workload
    #[arg(long, default_value_t = 300)]
    ops: u64,
    /// The same with a defective module, which is in the initramfs as
    /// /bytelog/variants/NAME.ko; can be repeated
    #[arg(long)]
    variant: Vec<String>,
    /// Operations of the workload with each of those
    #[arg(long, default_value_t = 40)]
    variant_ops: u64,
}

impl Args {
    /// The same with paths that hold in any directory.
    pub fn resolve(self) -> Result<Self> {
        let find = |path: &Path| {
            path.canonicalize()
                .with_context(|| path.display().to_string())
        };
        std::fs::create_dir_all(&self.dir).context("--dir")?;
        Ok(Self {
            plugin: find(&self.plugin)?,
            dir: find(&self.dir)?,
            ..self
        })
    }
}
