// SPDX-License-Identifier: GPL-2.0

//! Errors: the file, the place in it, the cause, and the way out.

use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;
use std::process::ExitCode;

/// What the command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Done, nothing wrong.
    Fine,
    /// The log or the filesystem is damaged, or in a state that the command refuses.
    Refused,
    /// It could not be done: no such file, an I/O error, no ext4 filesystem, no such
    /// partition.
    Failed,
    /// The command line is wrong.
    Usage,
    /// What e2fsck ended with.
    E2fsck(u8),
}

impl Status {
    /// The number, in the manner of fsck(8).
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Refused => 4,
            Self::Failed => 8,
            Self::Usage => 16,
            Self::E2fsck(code) => code,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

/// Why a command ended early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema, thiserror::Error)]
pub struct Error {
    /// What kind of end it is.
    pub status: Status,
    /// The file or the device.
    pub file: String,
    /// Bytes from its start to what is wrong.
    pub offset: Option<u64>,
    /// What is wrong.
    pub cause: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}: ", self.file)?;
        }
        if let Some(offset) = self.offset {
            write!(f, "at byte {offset}: ")?;
        }
        f.write_str(&self.cause)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl Error {
    fn new(status: Status, file: &str, cause: impl fmt::Display) -> Self {
        Self {
            status,
            file: file.to_owned(),
            offset: None,
            cause: cause.to_string(),
            remedy: None,
        }
    }

    /// Something could not be done.
    pub fn failed(file: &str, cause: impl fmt::Display) -> Self {
        Self::new(Status::Failed, file, cause)
    }

    /// The command line asks for what cannot be.
    pub fn usage(file: &str, cause: impl fmt::Display) -> Self {
        Self::new(Status::Usage, file, cause)
    }

    /// What the system says to an attempt to open `file`.
    pub fn open(file: &str, error: &std::io::Error) -> Self {
        let failed = Self::failed(file, error);
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => failed.remedy("run it as root"),
            std::io::ErrorKind::AlreadyExists => failed.remedy("name a file that does not exist"),
            _ => failed,
        }
    }

    /// Something must not be done, or is damaged.
    pub fn refused(file: &str, cause: impl fmt::Display) -> Self {
        Self::new(Status::Refused, file, cause)
    }

    /// The same at a place in the file.
    pub fn at(self, offset: u64) -> Self {
        Self {
            offset: Some(offset),
            ..self
        }
    }

    /// The same with a way out.
    pub fn remedy(self, remedy: impl fmt::Display) -> Self {
        Self {
            remedy: Some(remedy.to_string()),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_said() {
        let error = Error::refused("disk.img", "not ext4");
        assert_eq!(error.to_string(), "disk.img: not ext4");
        let error = error.at(1080).remedy("name another file");
        assert_eq!(
            error.to_string(),
            "disk.img: at byte 1080: not ext4; name another file"
        );
    }
}
