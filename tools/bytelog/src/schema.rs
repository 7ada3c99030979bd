// SPDX-License-Identifier: GPL-2.0

//! The schemas of what `--json` prints.

use crate::command::top::lines::Intervals;
use crate::command::{capture, dump, export, feature, fsck, info, map, stat, verify};
use crate::report::{Failed, Name, Versioned};
use schemars::{schema_for, Schema};

/// The schema of a document.
pub fn schema(name: Name) -> Schema {
    match name {
        Name::Info => schema_for!(Versioned<info::Info>),
        Name::Dump => schema_for!(Versioned<dump::Dump>),
        Name::Verify => schema_for!(Versioned<verify::Verified>),
        Name::Map => schema_for!(Versioned<map::Map>),
        Name::Export => schema_for!(Versioned<export::Told>),
        Name::Capture => schema_for!(Versioned<capture::Captured>),
        Name::Switch => schema_for!(Versioned<feature::Switched>),
        Name::Fsck => schema_for!(Versioned<fsck::Checked>),
        Name::Stat => schema_for!(Versioned<stat::Stat>),
        Name::Top => schema_for!(Versioned<Intervals<'_>>),
        Name::Error => schema_for!(Versioned<Failed<'_>>),
    }
}
