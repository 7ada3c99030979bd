// SPDX-License-Identifier: GPL-2.0

//! What a command has to tell, as text and as JSON: a document with a name and a version.

use crate::error::{Error, Status};
use schemars::JsonSchema;
use serde::Serialize;

/// What a command has to tell.
pub trait Report: Serialize {
    /// Name of its JSON.
    const NAME: Name;

    /// As text, with a newline at the end.
    fn text(&self) -> String;

    /// What the command ends with.
    fn status(&self) -> Status {
        Status::Fine
    }
}

/// Version of the documents. A member that is new leaves it as it is; one that goes, or
/// means something else, makes it another.
pub const VERSION: u32 = 1;

/// A document.
#[derive(Serialize, JsonSchema)]
pub struct Versioned<T> {
    /// What it is: `bytelog schema` with this name prints the schema.
    schema: Name,
    /// Version of the schema.
    version: u32,
    /// What there is to tell.
    #[serde(flatten)]
    content: T,
}

/// An error instead of what was asked for.
#[derive(Serialize, JsonSchema)]
pub struct Failed<'a> {
    /// The error.
    pub error: &'a Error,
}

/// Names of the documents: the subcommand's, or `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Name {
    Info,
    Dump,
    Verify,
    Map,
    Export,
    Capture,
    /// Of `enable` and `disable`.
    Switch,
    Fsck,
    Stat,
    Top,
    Error,
}

/// `content` as a document of that name.
pub fn versioned<T>(schema: Name, content: T) -> Versioned<T> {
    Versioned {
        schema,
        version: VERSION,
        content,
    }
}
