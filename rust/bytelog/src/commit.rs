// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How the writer puts records together, and makes a commit durable: the order of
//! barrier, copy, write-back and fence.

use super::crc::{Crc32c, SEED};
use super::error::WriteError;
use super::features::Features;
use super::gather::Position;
use super::medium::{FileData, Medium, Persistence};
use super::needs;
use super::opener::{Opener, OPENER_LEN};
use super::record::{record_len, NewRecord, ALIGN, HEADER_LEN};
use super::tlv::{self, Tag, TlvError, TL_LEN};
use super::writer::{Commit, LogWriter};

impl<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> LogWriter<C, S> {
    /// Sees to it that `len` more bytes fit the record being staged, and that
    /// record the area; or says why nothing may be added.
    pub(super) fn try_make_room<M: Medium>(
        &mut self,
        medium: &mut M,
        len: usize,
    ) -> Result<(), WriteError<M::Error>> {
        if self.log.as_ref().ok_or(WriteError::NotStarted)?.closed {
            return Err(WriteError::Closed);
        }
        if self.now.failed {
            return Err(WriteError::Aborted);
        }
        if len < TL_LEN || len > self.max_tlv() {
            return Err(WriteError::TooLong(len));
        }
        let grown = self.now.staged.saturating_add(len);
        if grown <= self.payload_max {
            return self.check_space(self.now.at.head, grown);
        }
        // Not before it is certain that what follows fits as well.
        let full = self.end_of(self.now.at.head, self.now.staged)?;
        self.check_space(full, len)?;
        self.inspect()?;
        self.finish(medium, false)?;
        self.now.room = self.room_at(full);
        Ok(())
    }

    /// Offset behind a record at `head` with `payload_len` bytes of payload.
    fn end_of<E>(&self, head: u64, payload_len: usize) -> Result<u64, WriteError<E>> {
        let len = record_len(payload_len).and_then(|len| u64::try_from(len).ok());
        len.and_then(|len| head.checked_add(len))
            .ok_or(WriteError::Full)
    }

    fn check_space<E>(&self, head: u64, payload_len: usize) -> Result<(), WriteError<E>> {
        if self.end_of(head, payload_len)? > self.geometry.area_len() {
            return Err(WriteError::Full);
        }
        Ok(())
    }

    /// Walks the staged TLVs: whether they are some, whether one describes file
    /// data, and whether the
    /// opener names the features that they need.
    #[inline(always)]
    fn inspect<E>(&mut self) -> Result<(), WriteError<E>> {
        let payload = self.staging.as_ref().get(HEADER_LEN..);
        let payload = payload.and_then(|payload| payload.get(..self.now.staged));
        let payload = payload.ok_or(WriteError::Staging)?;
        let mut says = self.now.says;
        let mut rest = payload;
        // Not the iterator: what it returns takes longer to look at than a TLV.
        while !rest.is_empty() {
            let (row, tlv, behind) = tlv::split(rest, self.max_tlv)
                .map_err(|fault| WriteError::Tlv(TlvError::at(payload, rest, fault)))?;
            says |= u32::from(row.says);
            if row.tag == Tag::Inode {
                says |= needs::of_inode(tlv).bits();
            }
            rest = behind;
        }
        self.now.says = says;
        if says & self.lacks.bits() != 0 {
            return Err(self.refuse());
        }
        Ok(())
    }

    /// The opener does not name what the commit needs; the next one will.
    #[cold]
    fn refuse<E>(&mut self) -> WriteError<E> {
        let needs = self.now.needs();
        self.features = self.features.with(needs);
        WriteError::Features(needs.without(Features::KNOWN.without(self.lacks)))
    }

    /// Puts a header in front of the staged payload, copies both in and goes to
    /// the next position. Returns the ordinal of the fast commit.
    #[inline(always)]
    fn finish<M: Medium>(
        &mut self,
        medium: &mut M,
        sealed: bool,
    ) -> Result<u32, WriteError<M::Error>> {
        let log = self.log.as_ref().ok_or(WriteError::NotStarted)?;
        let payload_len = self.now.staged;
        let total = record_len(payload_len).ok_or(WriteError::Staging)?;
        let unused = HEADER_LEN.saturating_add(payload_len)..;
        if let Some(behind) = self.staging.as_mut().get_mut(unused) {
            clear_padding(behind);
        }
        let record = self.staging.as_mut().get_mut(..total);
        let record = record.ok_or(WriteError::Staging)?;
        let Some((header, body)) = record.split_first_chunk_mut::<HEADER_LEN>() else {
            return Err(WriteError::Staging);
        };
        let Some(payload) = body.get(..payload_len) else {
            return Err(WriteError::Staging);
        };
        let payload_crc = C::update(SEED, payload);
        let crc = if log.commits != 0 {
            SEED
        } else if self.now.records == 0 {
            payload_crc
        } else {
            C::update(self.now.crc, payload)
        };
        let commit = log.commits.checked_add(1).ok_or(WriteError::Full)?;
        let new = NewRecord {
            tid: log.tid,
            nonce: log.nonce,
            seq: self.now.at.seq,
            commit,
            sealed,
            payload_len,
            payload_crc,
        };
        let chain = new
            .encode_to::<C>(self.now.at.chain, header)
            .ok_or(WriteError::Staging)?;
        let at = self.now.at.head;
        let next = Position {
            head: at.checked_add(total as u64).ok_or(WriteError::Full)?,
            seq: self.now.at.seq.checked_add(1).ok_or(WriteError::Full)?,
            chain,
        };
        medium.copy_in(at, record).map_err(WriteError::Medium)?;
        self.now.at = next;
        self.now.records = self.now.records.checked_add(1).ok_or(WriteError::Full)?;
        self.now.payload_bytes = self.now.payload_bytes.saturating_add(payload_len as u64);
        self.now.crc = crc;
        self.now.staged = 0;
        Ok(commit)
    }

    #[inline]
    pub(super) fn try_commit<M: Medium>(
        &mut self,
        medium: &mut M,
    ) -> Result<Commit, WriteError<M::Error>> {
        if self.now.failed {
            return Err(WriteError::Aborted);
        }
        if !self.is_gathering() {
            // Nothing is written, but the transaction is to be committed in full: to say now
            // that it is durable would hide what the failed commit had.
            if self.log.is_some_and(|log| log.closed) {
                return Err(WriteError::Closed);
            }
            match medium.file_data() {
                FileData::Here => barrier(medium)?,
                FileData::Apart { .. } => data_barrier(medium, false)?,
            }
            return Ok(Commit::default());
        }
        self.inspect()?;
        data_barrier(medium, self.now.describes_data())?;
        // From here on the medium may hold the seal or a part of it. A commit
        // that fails now must not be tried again at the same place: if it was the
        // first, an opener of this try and records of the next could both be
        // durable, and disagree.
        let log = self.log.as_mut().ok_or(WriteError::NotStarted)?;
        log.closed = true;
        let tail = log.durable.head;
        let ordinal = self.finish(medium, true)?;
        let commit = self.persist(medium, ordinal, tail)?;
        let log = self.log.as_mut().ok_or(WriteError::NotStarted)?;
        log.commits = ordinal;
        log.durable = self.now.at;
        log.closed = false;
        self.discard();
        Ok(commit)
    }

    /// Makes fast commit number `ordinal` durable, which begins at `tail` and ends at
    /// the present head.
    #[inline]
    fn persist<M: Medium>(
        &mut self,
        medium: &mut M,
        ordinal: u32,
        tail: u64,
    ) -> Result<Commit, WriteError<M::Error>> {
        let first = ordinal == 1;
        if first {
            self.write_opener(medium)?;
        }
        let log_bytes = self.now.at.head.saturating_sub(tail);
        medium
            .write_back(tail, log_bytes)
            .map_err(WriteError::Medium)?;
        medium.fence();
        if medium.persistence() == Persistence::NeedsFlush {
            medium.flush_device().map_err(WriteError::Medium)?;
        }
        Ok(Commit {
            ordinal,
            records: self.now.records,
            payload_bytes: self.now.payload_bytes,
            log_bytes,
            describes_data: self.now.describes_data(),
            opener_written: first,
        })
    }

    /// Stores the opener of the log's first commit, and starts to write it back.
    #[cold]
    fn write_opener<M: Medium>(&mut self, medium: &mut M) -> Result<(), WriteError<M::Error>> {
        let log = self.log.as_ref().ok_or(WriteError::NotStarted)?;
        self.features = self.features.with(self.now.needs());
        self.lacks = Features::KNOWN.without(self.features);
        let opener = Opener {
            features: self.features,
            tid: log.tid,
            nonce: log.nonce,
            head: self.now.at.head,
            tail: log.durable.head,
            seq: u64::from(self.now.records),
            crc: self.now.crc,
        };
        let bytes = opener.encode::<C>(self.geometry.block_size());
        medium.copy_in(0, &bytes).map_err(WriteError::Medium)?;
        medium
            .write_back(0, OPENER_LEN as u64)
            .map_err(WriteError::Medium)
    }
}

/// Zeroes what lies between a record's payload and the next line, of the bytes
/// behind the payload. All of a line, if there is one: a number of bytes that is
/// known takes no loop.
#[inline]
fn clear_padding(behind: &mut [u8]) {
    match behind.first_chunk_mut::<ALIGN>() {
        Some(line) => *line = [0; ALIGN],
        None => behind.fill(0),
    }
}

/// Makes durable the file data that the commit describes or owes, before its seal
/// can be.
#[inline]
fn data_barrier<M: Medium>(medium: &mut M, described: bool) -> Result<(), WriteError<M::Error>> {
    match medium.file_data() {
        FileData::Here if described => barrier(medium),
        FileData::Apart { owed } if described || owed => {
            medium.flush_data().map_err(WriteError::Medium)
        }
        _ => Ok(()),
    }
}

/// Makes durable everything stored to the log's device before.
fn barrier<M: Medium>(medium: &mut M) -> Result<(), WriteError<M::Error>> {
    match medium.persistence() {
        Persistence::Synchronous => {
            medium.fence();
            Ok(())
        }
        Persistence::NeedsFlush => medium.flush_device().map_err(WriteError::Medium),
    }
}
