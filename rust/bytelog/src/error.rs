// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What can be wrong with a log, in words for the kernel log and the tools.

use core::fmt;

use super::features::Features;
use super::geometry::GeometryError;
use super::tlv::TlvError;

/// Why a record is not the next one of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No record header here.
    Magic,
    /// A record of another version than the log's.
    Version(u16),
    /// The header's length is not 64.
    HeaderLen(u16),
    /// The header's CRC does not continue the chain (version 1: is wrong).
    HeaderCrc,
    /// The payload's CRC is wrong.
    PayloadCrc,
    /// The padding is not zero.
    Padding,
    /// The payload's length is 0 or too large.
    PayloadLen(u32),
    /// The record's length does not follow from the payload's.
    RecordLen(u32),
    /// The record reaches beyond the area (version 1: beyond the window).
    Bounds,
    /// Unknown flags, or not COMMITTED.
    Flags(u16),
    /// The header's tag is impossible, or not that of its single TLV.
    RecordTag(u16),
    /// Another transaction's record.
    Tid(u32),
    /// Another life's record.
    Nonce(u32),
    /// Not the number after the record before.
    Seq(u64),
    /// A commit ordinal that cannot stand here.
    Commit(u32),
    /// A reserved field is not zero.
    Reserved,
    /// The payload is not a run of whole, allowed TLVs.
    Tlv(TlvError),
    /// A TLV needs features that the opener does not name.
    Features(Features),
}

impl Fault {
    /// Whether what is here is a version 2 header, whole or torn: its first word is in place.
    pub(super) const fn has_v2_header(&self) -> bool {
        !matches!(self, Self::Magic | Self::Version(_) | Self::HeaderLen(_))
    }

    /// Whether a power cut can leave a record like this. If not, its header (and
    /// for a TLV fault its payload) is intact by its CRC and yet breaks a rule
    /// that a writer keeps: no torn commit, but damage.
    pub const fn can_be_torn(&self) -> bool {
        matches!(
            self,
            Self::Magic
                | Self::Version(_)
                | Self::HeaderLen(_)
                | Self::HeaderCrc
                | Self::PayloadCrc
                | Self::Padding
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("no record header"),
            Self::Version(version) => write!(f, "record of version {version}"),
            Self::HeaderLen(len) => write!(f, "record header of {len} bytes"),
            Self::HeaderCrc => f.write_str("header CRC does not match"),
            Self::PayloadCrc => f.write_str("payload CRC does not match"),
            Self::Padding => f.write_str("padding is not zero"),
            Self::PayloadLen(len) => write!(f, "payload of {len} bytes"),
            Self::RecordLen(len) => write!(f, "record length {len} does not fit its payload"),
            Self::Bounds => f.write_str("record reaches beyond the log"),
            Self::Flags(flags) => write!(f, "record flags {flags:#06x}"),
            Self::RecordTag(tag) => write!(f, "record tag {tag:#06x}"),
            Self::Tid(tid) => write!(f, "record of transaction {tid}"),
            Self::Nonce(nonce) => write!(f, "record with nonce {nonce:#010x}"),
            Self::Seq(seq) => write!(f, "record number {seq} out of sequence"),
            Self::Commit(commit) => write!(f, "commit number {commit} out of sequence"),
            Self::Reserved => f.write_str("reserved bytes are not zero"),
            Self::Tlv(error) => write!(f, "{error}"),
            Self::Features(lacking) => write!(
                f,
                "the opener does not name feature {:#x}, which the payload needs",
                lacking.bits()
            ),
        }
    }
}

impl core::error::Error for Fault {}

/// Why a log is damaged, as against torn by a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A record that no writer writes, or (version 1) that is not as the anchor
    /// says.
    Record(Fault),
    /// The log ends here, but a record of a fast commit that can only follow
    /// lost ones stands beyond.
    Beyond {
        /// Ordinal of the last sealed fast commit in front.
        sealed: u32,
        /// Ordinal of the fast commit beyond.
        commit: u32,
        /// Offset of its record, bytes from the start of the area.
        at: u64,
    },
    /// The opener's window is not one of this area.
    Window,
    /// The opener's window, record count or CRC disagrees with the records.
    Anchor,
    /// A version 1 log whose opener names features, which that version does not have.
    Features(Features),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(fault) => write!(f, "{fault}"),
            Self::Beyond { sealed, commit, at } => write!(
                f,
                "the log ends after commit {sealed}, but commit {commit} is at offset {at}"
            ),
            Self::Window => f.write_str("the anchor's window is not one of this area"),
            Self::Anchor => f.write_str("the anchor does not agree with the records"),
            Self::Features(named) => {
                write!(f, "feature {:#x} in a version 1 log", named.bits())
            }
        }
    }
}

/// Why a log was not read. Nothing of it may be replayed, whatever the sink has
/// been told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError<A, S> {
    /// The area cannot have this size.
    Geometry(GeometryError),
    /// The scratch buffer is too short for a record;
    /// [`SCRATCH_LEN`](super::reader::SCRATCH_LEN) bytes are not.
    Scratch,
    /// The area could not be read.
    Area {
        /// Bytes from the start of the area.
        offset: u64,
        /// What the area said.
        error: A,
    },
    /// The sink refused what it was told.
    Sink(S),
    /// HEAD's feature word has these unknown bits.
    Features(Features),
    /// The log is damaged.
    Damaged {
        /// Bytes from the start of the area to the place where reading ended.
        offset: u64,
        /// What is wrong there.
        damage: Damage,
    },
}

impl<A: fmt::Debug, S: fmt::Debug> fmt::Display for ReadError<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Geometry(error) => write!(f, "{error}"),
            Self::Scratch => f.write_str("scratch buffer too short"),
            Self::Area { offset, error } => {
                write!(f, "cannot read the area at offset {offset}: {error:?}")
            }
            Self::Sink(error) => write!(f, "cannot take the log in: {error:?}"),
            Self::Features(unknown) => write!(
                f,
                "the log uses feature {:#x}, which this version does not know; ByteLog of a \
                 later version reads it",
                unknown.bits()
            ),
            Self::Damaged { offset, damage } => {
                write!(f, "log damaged at offset {offset}: {damage}")
            }
        }
    }
}

impl<A: fmt::Debug, S: fmt::Debug> core::error::Error for ReadError<A, S> {}

/// Why TLVs or a commit were not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError<E> {
    /// No log has been started.
    NotStarted,
    /// An earlier commit of this transaction failed with its seal perhaps on the
    /// medium; only a log for another transaction can go on.
    Closed,
    /// An earlier [`reserve`](super::writer::LogWriter::reserve) of this commit
    /// failed, so that it is not complete.
    Aborted,
    /// The area has no room for the record.
    Full,
    /// Fewer or more bytes than a TLV can have here.
    TlvLen(usize),
    /// What was staged is not a run of whole TLVs.
    Tlv(TlvError),
    /// The commit needs features that the opener, which is durable, does not name. The
    /// next log will have them.
    Features(Features),
    /// The TLVs contain what the caller has not said: bits of
    /// [`Contents`](super::writer::Contents). Looked for with debug assertions only.
    Undeclared(u32),
    /// The staging buffer is not what it was.
    Staging,
    /// The medium failed.
    Medium(E),
}

impl<E: fmt::Debug> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("no log has been started"),
            Self::Closed => f.write_str("log closed by a failed commit"),
            Self::Aborted => f.write_str("part of the commit is missing"),
            Self::Full => f.write_str("log full"),
            Self::TlvLen(len) => write!(f, "the log takes no TLV of {len} bytes"),
            Self::Tlv(error) => write!(f, "staged {error}"),
            Self::Features(lacking) => write!(f, "the log lacks the feature: {lacking}"),
            Self::Undeclared(bits) => write!(f, "the TLVs contain {bits:#x}, which was not said"),
            Self::Staging => f.write_str("staging buffer too short"),
            Self::Medium(error) => write!(f, "medium failed: {error:?}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for WriteError<E> {}
