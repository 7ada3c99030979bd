// SPDX-License-Identifier: GPL-2.0
//! What the kernel says, as the tests look for it: one word or phrase of each
//! message, in lower case, so that wording can change without touching a test.
//! The messages come from the hook patch (fs/ext4) and from fs/ext4_bytelog.

/// Attached and logging.
pub const ATTACHED: &str = "bytelog";
/// `force`: what a stock e2fsck would do after a crash.
pub const FORCE_WARNING: &str = "e2fsck";
pub const NO_FAST_COMMIT: &str = "fast_commit";
pub const NO_DAX_DEVICE: &str = "dax";
pub const DAX_NEVER: &str = "dax=never";
pub const BLOCK_SIZE: &str = "block size";
pub const AREA_TOO_SMALL: &str = "too small";
pub const MODULE_MISSING: &str = "ext4-fc-bytelog";
pub const WRONG_VALUE: &str = "dax_fc_bytelog";
pub const REMOUNT: &str = "remount";
/// Replay found damage that is not a torn end.
pub const DAMAGED: &str = "damaged";

/// Whether any line has the phrase.
pub fn any(lines: &[String], phrase: &str) -> bool {
    lines
        .iter()
        .any(|line| line.to_lowercase().contains(phrase))
}
