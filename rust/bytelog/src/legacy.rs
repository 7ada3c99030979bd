// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Version 1, the RFC's format: one fast commit in the anchor's window, read
//! only.
//!
//! Its opener is written after its records are durable, so that nothing in the
//! window can be torn: whatever does not agree is damage.

use super::crc::{Crc32c, SEED};
use super::error::{Damage, Fault, ReadError};
use super::features::Features;
use super::log::{Found, Log, ReadArea, Sink};
use super::opener::Opener;
use super::record::{Record, ALIGN, HEADER_LEN};
use super::source::Source;
use super::tlv::{Tag, Tlvs};

/// Sealed fast commit that a version 1 log is told as.
const ONLY_COMMIT: u32 = 1;

/// Whether `header` is that of a version 1 record of transaction `tid`. A stale one
/// of another transaction may lie under a torn version 2 commit and says nothing.
pub(super) fn is_v1<C: Crc32c>(header: &[u8; HEADER_LEN], tid: u32) -> bool {
    Record::parse_v1::<C>(header).is_ok_and(|record| record.tid() == tid)
}

/// Fails if the window of a log that seems to be a torn version 2 one holds a
/// version 1 record: it is a version 1 log whose first record is lost.
pub(super) fn none_in_window<C: Crc32c, A: ReadArea, S>(
    source: &Source<'_, A>,
    opener: &Opener,
) -> Result<(), ReadError<A::Error, S>> {
    let mut at = opener.tail;
    while at < opener.head {
        let header = source.header(at, opener.head)?;
        if header.is_some_and(|header| is_v1::<C>(&header, source.tid)) {
            return Err(ReadError::Damaged {
                offset: opener.tail,
                damage: Damage::Anchor,
            });
        }
        at = at.saturating_add(ALIGN as u64);
    }
    Ok(())
}

/// Reads exactly the window of `opener`. `first` is the first record's header if it
/// has been copied out.
pub(super) fn read<C: Crc32c, A: ReadArea, S: Sink>(
    source: &Source<'_, A>,
    opener: &Opener,
    mut first: Option<[u8; HEADER_LEN]>,
    scratch: &mut [u8],
    sink: &mut S,
) -> Result<Log, ReadError<A::Error, S::Error>> {
    if opener.features != Features::NONE {
        return Err(ReadError::Damaged {
            offset: 0,
            damage: Damage::Features(opener.features),
        });
    }
    let end = opener.head;
    let mut log = source.nothing(Found::V1, opener.tail);
    let mut crc = SEED;
    while log.head < end {
        let fail = |fault| ReadError::Damaged {
            offset: log.head,
            damage: Damage::Record(fault),
        };
        let header = match first.take() {
            Some(first) => Some(first),
            None => source.header(log.head, end)?,
        };
        let header = header.ok_or_else(|| fail(Fault::Bounds))?;
        let record = Record::parse_v1::<C>(&header).map_err(fail)?;
        if record.tid() != opener.tid {
            return Err(fail(Fault::Tid(record.tid())));
        }
        if record.seq() != log.records {
            return Err(fail(Fault::Seq(record.seq())));
        }
        let body = source.body::<C, _>(&record, log.head, end, scratch)?;
        let (payload, behind) = body.map_err(fail)?;
        // Version 1 has no features. It may hold the INODE of a directory, and ext4's
        // replay makes of it what that of the RFC does.
        let mut tlvs = Tlvs::new(payload, usize::MAX);
        if tlvs.any(|tlv| tlv.is_ok_and(|tlv| tlv.tag() == Tag::Dir)) {
            return Err(fail(Fault::Features(Features::DIRECTORIES)));
        }
        sink.record(&record, payload).map_err(ReadError::Sink)?;
        crc = C::update(crc, payload);
        log.head = behind;
        log.bytes = log.bytes.saturating_add(payload.len() as u64);
        log.records = log.records.saturating_add(1);
    }
    if log.records != opener.seq || crc != opener.crc {
        return Err(ReadError::Damaged {
            offset: opener.tail,
            damage: Damage::Anchor,
        });
    }
    if log.records != 0 {
        sink.sealed(ONLY_COMMIT).map_err(ReadError::Sink)?;
        log.commits = ONLY_COMMIT;
    }
    Ok(log)
}
