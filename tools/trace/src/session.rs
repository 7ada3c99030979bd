// SPDX-License-Identifier: GPL-2.0

//! What was traced: written by the test machine's driver next to the events, read
//! by the checker.

use anyhow::{Context, Result};
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Name of the file of events in the directory of a session.
pub const EVENTS: &str = "events.bin";

/// Name of the file that says what was traced.
pub const SESSION: &str = "session.json";

/// Name of the list of images for a mount.
pub const IMAGES: &str = "images.json";

/// One boot of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Guest physical address of the device's first byte.
    pub device: u64,
    /// What was recorded, in order.
    pub segments: Vec<Segment>,
}

/// From a mount of a filesystem to the end of a workload on it, and of its mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The number in its [`Start`](crate::mark::Kind::Start) mark.
    pub number: u64,
    /// Which module was loaded: what was left out of it, or nothing.
    pub variant: Option<String>,
    /// File with the filesystem as it was before.
    pub base: String,
    /// Bytes of the filesystem, which starts where the device does.
    pub bytes: u64,
    /// Filesystem block of each block of the fast-commit area.
    pub area: Vec<u64>,
    /// Filesystem block of each other block of the journal.
    pub journal: Vec<u64>,
    /// Where the code of the module is: address and bytes.
    pub code: (u64, u64),
    /// The workload, in the words of those who made it.
    pub workload: serde_json::Value,
}

/// A device image that a power cut could have left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// File in the session's directory.
    pub file: String,
    /// Number of the segment.
    pub segment: u64,
    /// Fsyncs that had returned.
    pub acknowledged: u64,
    /// Where the cut is, in words.
    pub at: String,
    /// The module was defective, and the mount must show it.
    pub loses: bool,
}

/// Reads a file of a session.
pub fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<T> {
    let path = dir.join(name);
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// Writes a file of a session.
pub fn write<T: Serialize>(dir: &Path, name: &str, value: &T) -> Result<()> {
    let path = dir.join(name);
    fs::write(&path, serde_json::to_vec_pretty(value)?).with_context(|| path.display().to_string())
}
