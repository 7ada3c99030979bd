// SPDX-License-Identifier: GPL-2.0
//! The directory that threads share. It is beside theirs, and each has names of its own
//! in it, so that what one does there can be judged without the others.

use serde::{Deserialize, Serialize};

/// Where it is, from a thread's directory.
pub const SHARED: &str = "../shared";

/// The number of a thread among those that share a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member(pub u64);

impl Member {
    /// A name of its own in that directory.
    pub fn name(self, name: &str) -> String {
        format!("t{}-{name}", self.0)
    }

    /// Whether such a name is one of its own.
    pub fn owns(self, name: &str) -> bool {
        name.starts_with(&self.name(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_thread() {
        let name = Member(11).name("f3");
        assert!(Member(11).owns(&name));
        assert!(!Member(1).owns(&name) && !Member(111).owns(&name));
    }
}
