// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Record header: 64 bytes in front of a run of TLVs, versions 1 and 2.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::IntoBytes;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::crc::{Crc32c, SEED};
use super::error::Fault;
use super::tlv::{Tag, Tlvs};

/// Records start, and are padded with zeros, to multiples of this many bytes:
/// a cache line, so that no two commits share one.
pub const ALIGN: usize = 64;

/// Bytes of a record header.
pub const HEADER_LEN: usize = 64;

/// Most payload bytes of a record that a reader accepts.
pub const MAX_PAYLOAD: usize = 65536;

/// Payload bytes of a full record as written by default.
pub const DEFAULT_PAYLOAD: usize = 4096;

/// "FCBL".
pub const MAGIC: u32 = 0x4c42_4346;

/// `tag` of a record whose payload is a run of whole TLVs.
pub const TAG_RUN: u16 = 0xffff;

/// Version written by the RFC; read only.
const VERSION_1: u16 = 1;
/// Version written here.
const VERSION_2: u16 = 2;

/// Flag of every complete record.
const COMMITTED: u16 = 1 << 0;
/// Flag of the last record of a fast commit (version 2).
const SEAL: u16 = 1 << 1;

/// The header as it is on the media.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    version: U16,
    hdr_len: U16,
    tid: U32,
    tag: U16,
    flags: U16,
    payload_len: U32,
    payload_crc: U32,
    record_len: U32,
    header_crc: U32,
    seq: U64,
    commit: U32,
    nonce: U32,
    reserved: [u8; 16],
}

const _: () = assert!(size_of::<RawHeader>() == HEADER_LEN);

/// Offset of the header's own CRC in it.
const HEADER_CRC: usize = core::mem::offset_of!(RawHeader, header_crc);

impl RawHeader {
    /// CRC32C of the header with its `header_crc` taken as zero.
    fn crc<C: Crc32c>(&self, seed: u32) -> u32 {
        let mut cleared = *self;
        cleared.header_crc = U32::ZERO;
        C::update(seed, cleared.as_bytes())
    }
}

/// Bytes that a record with `payload_len` payload bytes occupies: header,
/// payload and padding. `None` past [`MAX_PAYLOAD`].
#[inline]
pub const fn record_len(payload_len: usize) -> Option<usize> {
    if payload_len > MAX_PAYLOAD {
        return None;
    }
    match payload_len.checked_next_multiple_of(ALIGN) {
        Some(padded) => padded.checked_add(HEADER_LEN),
        None => None,
    }
}

/// Version of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The RFC's: no chain, no seal, no nonce.
    V1,
    /// This format.
    V2,
}

/// A record header whose CRC and rules have been checked. What it says of the
/// payload (its CRC, its TLVs) has not been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    version: Version,
    tid: u32,
    tag: Option<Tag>,
    sealed: bool,
    payload_len: u32,
    payload_crc: u32,
    header_crc: u32,
    seq: u64,
    commit: u32,
    nonce: u32,
}

impl Record {
    /// Checks a version 1 header by itself.
    pub fn parse_v1<C: Crc32c>(bytes: &[u8; HEADER_LEN]) -> Result<Self, Fault> {
        let raw: RawHeader = zerocopy::transmute!(*bytes);
        raw.identify(VERSION_1)?;
        if raw.crc::<C>(SEED) != raw.header_crc.get() {
            return Err(Fault::HeaderCrc);
        }
        if raw.flags.get() != COMMITTED {
            return Err(Fault::Flags(raw.flags.get()));
        }
        if raw.nonce.get() != 0 || raw.commit.get() != 0 {
            return Err(Fault::Reserved);
        }
        let tag = match raw.tag.get() {
            TAG_RUN => None,
            other => match Tag::from_raw(other) {
                Some(tag) if tag.in_payload() => Some(tag),
                _ => return Err(Fault::RecordTag(other)),
            },
        };
        raw.checked(Version::V1, tag)
    }

    /// Checks a version 2 header against the chain: `seed` is the header CRC of
    /// the record before, or [`chain_seed`](super::crc::chain_seed) for the
    /// first one.
    pub fn parse_v2<C: Crc32c>(bytes: &[u8; HEADER_LEN], seed: u32) -> Result<Self, Fault> {
        let raw: RawHeader = zerocopy::transmute!(*bytes);
        raw.identify(VERSION_2)?;
        // Before any other rule: past this, the header is as it was written.
        if raw.crc::<C>(seed) != raw.header_crc.get() {
            return Err(Fault::HeaderCrc);
        }
        let flags = raw.flags.get();
        if flags & !SEAL != COMMITTED {
            return Err(Fault::Flags(flags));
        }
        if raw.tag.get() != TAG_RUN {
            return Err(Fault::RecordTag(raw.tag.get()));
        }
        if raw.commit.get() == 0 {
            return Err(Fault::Commit(0));
        }
        raw.checked(Version::V2, None)
    }

    /// Version of the header.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Transaction that the fast commit belongs to.
    pub const fn tid(&self) -> u32 {
        self.tid
    }

    /// The one TLV's tag where a version 1 record holds a single TLV, `None`
    /// where the payload is a run.
    pub const fn tag(&self) -> Option<Tag> {
        self.tag
    }

    /// Whether this is the last record of its fast commit (version 2).
    pub const fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Payload bytes, from 1 to [`MAX_PAYLOAD`].
    pub const fn payload_len(&self) -> usize {
        self.payload_len as usize
    }

    /// CRC32C of the payload, seed [`SEED`].
    pub const fn payload_crc(&self) -> u32 {
        self.payload_crc
    }

    /// Header, payload and padding, bytes: a multiple of [`ALIGN`].
    pub fn record_len(&self) -> usize {
        record_len(self.payload_len()).unwrap_or(HEADER_LEN)
    }

    /// The header's own CRC: the seed of the next record's.
    pub const fn header_crc(&self) -> u32 {
        self.header_crc
    }

    /// Number of the record within the tid, from 0.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Ordinal of the fast commit within the tid, from 1; 0 in version 1.
    pub const fn commit(&self) -> u32 {
        self.commit
    }

    /// The log's nonce; 0 in version 1.
    pub const fn nonce(&self) -> u32 {
        self.nonce
    }

    /// Checks a copy of what follows the header: `body` is payload and padding,
    /// to the record's end. Gives the payload.
    pub fn check_body<'a, C: Crc32c>(
        &self,
        body: &'a [u8],
        max_tlv: usize,
    ) -> Result<&'a [u8], Fault> {
        let (payload, padding) = body
            .split_at_checked(self.payload_len())
            .ok_or(Fault::PayloadLen(self.payload_len))?;
        if C::update(SEED, payload) != self.payload_crc {
            return Err(Fault::PayloadCrc);
        }
        if padding.iter().any(|&byte| byte != 0) {
            return Err(Fault::Padding);
        }
        let mut tlvs = Tlvs::new(payload, max_tlv);
        if let Some(named) = self.tag {
            match tlvs.next() {
                Some(Ok(tlv)) if tlv.tag() == named && tlv.bytes().len() == payload.len() => {}
                Some(Err(error)) => return Err(Fault::Tlv(error)),
                _ => return Err(Fault::RecordTag(named.raw())),
            }
        }
        for tlv in tlvs {
            tlv.map_err(Fault::Tlv)?;
        }
        Ok(payload)
    }
}

impl RawHeader {
    /// Whether this looks like a record header of `version` at all.
    fn identify(&self, version: u16) -> Result<(), Fault> {
        if self.magic.get() != MAGIC {
            return Err(Fault::Magic);
        }
        if self.version.get() != version {
            return Err(Fault::Version(self.version.get()));
        }
        if usize::from(self.hdr_len.get()) != HEADER_LEN {
            return Err(Fault::HeaderLen(self.hdr_len.get()));
        }
        Ok(())
    }

    /// Payload length, if it is possible and agrees with `record_len`.
    fn lengths(&self) -> Result<u32, Fault> {
        let payload_len = self.payload_len.get();
        let computed = match usize::try_from(payload_len) {
            Ok(len) if len > 0 => record_len(len),
            _ => None,
        };
        match computed {
            None => Err(Fault::PayloadLen(payload_len)),
            Some(len) if u32::try_from(len) == Ok(self.record_len.get()) => Ok(payload_len),
            Some(_) => Err(Fault::RecordLen(self.record_len.get())),
        }
    }

    /// The checks that both versions share, past the header CRC.
    fn checked(&self, version: Version, tag: Option<Tag>) -> Result<Record, Fault> {
        let payload_len = self.lengths()?;
        if self.reserved.iter().any(|&byte| byte != 0) {
            return Err(Fault::Reserved);
        }
        Ok(Record {
            version,
            tid: self.tid.get(),
            tag,
            sealed: matches!(version, Version::V2) && self.flags.get() & SEAL != 0,
            payload_len,
            payload_crc: self.payload_crc.get(),
            header_crc: self.header_crc.get(),
            seq: self.seq.get(),
            commit: self.commit.get(),
            nonce: self.nonce.get(),
        })
    }
}

/// The nonce in what may be a version 2 header.
pub(super) fn nonce(bytes: &[u8; HEADER_LEN]) -> u32 {
    let raw: RawHeader = zerocopy::transmute!(*bytes);
    raw.nonce.get()
}

/// A version 2 header found anywhere, its place in the chain unknown: enough to
/// tell that a later fast commit once stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) tid: u32,
    pub(super) nonce: u32,
    pub(super) commit: u32,
    pub(super) payload_len: u32,
    pub(super) payload_crc: u32,
}

impl Candidate {
    /// Reads `bytes` as a version 2 header, without its CRC.
    pub(super) fn parse(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let raw: RawHeader = zerocopy::transmute!(*bytes);
        raw.identify(VERSION_2).ok()?;
        let payload_len = raw.lengths().ok()?;
        Some(Self {
            tid: raw.tid.get(),
            nonce: raw.nonce.get(),
            commit: raw.commit.get(),
            payload_len,
            payload_crc: raw.payload_crc.get(),
        })
    }
}

/// What a writer says of a new version 2 record.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord {
    /// Transaction that the fast commit belongs to.
    pub tid: u32,
    /// The log's nonce.
    pub nonce: u32,
    /// Number of the record within the tid, from 0.
    pub seq: u64,
    /// Ordinal of the fast commit within the tid, from 1.
    pub commit: u32,
    /// Whether it is the last record of its fast commit.
    pub sealed: bool,
    /// Payload bytes.
    pub payload_len: usize,
    /// CRC32C of the payload, seed [`SEED`].
    pub payload_crc: u32,
}

impl NewRecord {
    /// Makes the header's bytes, `seed` being the CRC of the one before. Gives its CRC.
    /// `None` if the payload is empty or longer than [`MAX_PAYLOAD`].
    #[inline(always)]
    pub fn encode_to<C: Crc32c>(&self, seed: u32, header: &mut [u8; HEADER_LEN]) -> Option<u32> {
        let record_len = record_len(self.payload_len).filter(|_| self.payload_len > 0)?;
        let flags = if self.sealed {
            COMMITTED | SEAL
        } else {
            COMMITTED
        };
        let raw = RawHeader {
            magic: U32::new(MAGIC),
            version: U16::new(VERSION_2),
            hdr_len: U16::new(HEADER_LEN as u16),
            tid: U32::new(self.tid),
            tag: U16::new(TAG_RUN),
            flags: U16::new(flags),
            payload_len: U32::new(u32::try_from(self.payload_len).ok()?),
            payload_crc: U32::new(self.payload_crc),
            record_len: U32::new(u32::try_from(record_len).ok()?),
            header_crc: U32::ZERO,
            seq: U64::new(self.seq),
            commit: U32::new(self.commit),
            nonce: U32::new(self.nonce),
            reserved: [0; 16],
        };
        *header = zerocopy::transmute!(raw);
        let crc = C::update(seed, header);
        let field = header.get_mut(HEADER_CRC..)?.first_chunk_mut()?;
        *field = crc.to_le_bytes();
        Some(crc)
    }
}
