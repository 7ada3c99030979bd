// SPDX-License-Identifier: GPL-2.0
//! What the kernel says, as the tests look for it: one phrase of each message,
//! in lower case, so that wording can change without touching a test. The
//! messages come from fs/ext4 (the hook patch) and from fs/ext4_bytelog.

pub const IN_USE: &str = "bytelog in use";
/// Why it is not, from the module or from ext4.
pub const NOT_USED: [&str; 2] = ["bytelog is not used", "dax_fc_bytelog not in use"];
/// `force`: what a stock e2fsck would do after a crash.
pub const FORCE_WARNING: &str = "leaves the journal unmarked";
pub const NO_FAST_COMMIT: &str = "fast_commit";
pub const NO_DAX_DEVICE: &str = "no dax";
pub const DAX_NEVER: &str = "dax=never";
pub const BLOCK_SIZE: &str = "block size";
pub const BIGALLOC: &str = "bigalloc";
pub const AREA_TOO_SMALL: &str = "too small";
pub const MODULE_MISSING: &str = "module missing";
pub const WRONG_VALUE: &str = "dax_fc_bytelog";
pub const REMOUNT: &str = "while remounting";
/// The feature bit or the records are there and the backend is not.
pub const BACKEND_NEEDED: &str = "no mount without";
/// Damage that is not a torn end.
pub const NOTHING_REPLAYED: &str = "nothing is replayed";
/// A log that a later version may be able to read.
pub const UNKNOWN_FEATURES: &str = "which this version does not know";

/// What replay changes does not go through the journal.
pub const IN_PLACE: &str = "no room in the journal";

/// Followed by the number of fast commits.
pub const REPLAYING: &str = "replaying ";

/// Whether any line has the phrase.
pub fn any(lines: &[String], phrase: &str) -> bool {
    lines
        .iter()
        .any(|line| line.to_lowercase().contains(phrase))
}
