// SPDX-License-Identifier: GPL-2.0
//! Steps made from a seed: host and guest, before and after a cut, derive the same.

use super::shared::{Member, SHARED};
use super::state::{Kind, State};
use super::step::{Action, How, Step, Sync};
use crate::ops::parent;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One thread's steps. They never end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub seed: u64,
    /// Leaves out what makes ext4 commit in full, so that the log grows.
    pub calm: bool,
    /// O_DIRECT only where the device's sectors begin and end, as a disk wants it.
    pub aligned: bool,
    /// Stores through mappings as well.
    pub mapped: bool,
    /// Who it is in the shared directory, if there is one.
    pub member: Option<Member>,
}

const MAX_FILES: usize = 20;
const MAX_DIRS: usize = 4;
/// Bytes.
const MAX_SIZE: usize = 20 << 10;
const PAGE: usize = 4096;
const SECTOR: usize = 512;

pub struct Generator {
    calm: bool,
    aligned: bool,
    mapped: bool,
    member: Option<Member>,
    rng: fastrand::Rng,
    state: State,
    done: u64,
}

impl Generator {
    pub fn new(job: &Job) -> Self {
        Self {
            calm: job.calm,
            aligned: job.aligned,
            mapped: job.mapped,
            member: job.member,
            rng: fastrand::Rng::with_seed(job.seed),
            state: State::default(),
            done: 0,
        }
    }

    /// The state after the steps so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The next step, already applied to the state.
    pub fn step(&mut self) -> Result<Step> {
        let op = self.done + 1;
        let action = self.action(op);
        self.state
            .apply(op, &action)
            .with_context(|| format!("step {op}: {action:?}"))?;
        self.done = op;
        let sync = self.sync(&action);
        Ok(Step { action, sync })
    }

    /// Notes that the step just made has been acknowledged.
    pub fn acknowledged(&mut self, step: &Step) -> Result<()> {
        self.state.acknowledged(self.done, step)
    }

    fn pick(&mut self, wanted: fn(&Kind) -> bool) -> Option<String> {
        let names: Vec<&str> = self
            .state
            .names()
            .filter(|(_, id)| wanted(&self.state.node(*id).kind))
            .map(|(path, _)| path)
            .collect();
        let at = self.rng.usize(..names.len().max(1));
        names.get(at).map(|path| (*path).to_owned())
    }

    fn pick_file(&mut self) -> Option<String> {
        self.pick(|kind| matches!(kind, Kind::File(_)))
    }

    fn count(&self, wanted: fn(&Kind) -> bool) -> usize {
        let names = self.state.names();
        names
            .filter(|(_, id)| wanted(&self.state.node(*id).kind))
            .count()
    }

    /// A name that is not there yet, in a random directory.
    fn fresh(&mut self, stem: &str, op: u64) -> String {
        if let Some(member) = self.member {
            if self.rng.u32(0..3) == 0 {
                return format!("{SHARED}/{}", member.name(&format!("{stem}{op}")));
            }
        }
        match self.pick(|kind| matches!(kind, Kind::Dir { .. })) {
            Some(dir) if self.rng.bool() => format!("{dir}/{stem}{op}"),
            _ => format!("{stem}{op}"),
        }
    }

    fn action(&mut self, op: u64) -> Action {
        let tag = self.rng.u64(..);
        let Some(path) = self.pick_file() else {
            return self.create(op);
        };
        let size = self.state.file(&path).map_or(0, |file| file.data().len());
        if self.count(|kind| matches!(kind, Kind::File(_))) > MAX_FILES || size > MAX_SIZE {
            return Action::Unlink { path };
        }
        let len = self.rng.usize(1..5000);
        match self.rng.u32(0..100) {
            0..16 => self.create(op),
            16..40 => self.write(path, size, len, tag),
            40..54 if size > 0 => {
                let off = self.rng.usize(..size);
                let len = len.min(size - off);
                self.write(path, off, len, tag)
            }
            54..58 if size > 0 && self.mapped => Action::Write {
                len: len.min(size),
                off: self.rng.usize(..size.div_ceil(PAGE)) * PAGE,
                how: How::Mapped,
                path,
                tag,
            }
            .within(size),
            58..64 => Action::Rename {
                from: path,
                to: self.fresh("r", op),
            },
            64..67 => match self.pick_file() {
                // Two names of one file would be a no-op.
                Some(to) if self.state.id(&to) != self.state.id(&path) => {
                    Action::Rename { from: path, to }
                }
                _ => Action::Unlink { path },
            },
            67..72 => Action::Link {
                from: path,
                to: self.fresh("l", op),
            },
            72..78 => Action::Unlink { path },
            78..82 if !self.calm => Action::Truncate {
                path,
                len: self.rng.usize(..size + 3000),
            },
            82..86 => Action::Fallocate {
                path,
                len: size + len,
            },
            86..89 if size > PAGE => Action::Punch {
                path,
                off: self.rng.usize(..size),
                len,
            },
            89..92 if !self.calm => self.xattr(path, op, len, tag),
            92..94 => self.symlink(op),
            94..100 if !self.calm => self.directory(op, path),
            _ => self.create(op),
        }
    }

    fn create(&mut self, op: u64) -> Action {
        Action::Create {
            path: self.fresh("f", op),
            late: op % 4 == 1,
        }
    }

    fn write(&mut self, path: String, off: usize, len: usize, tag: u64) -> Action {
        let (off, len) = if self.aligned && self.rng.u32(0..4) == 0 {
            (off / SECTOR * SECTOR, len.next_multiple_of(SECTOR))
        } else {
            (off, len)
        };
        let how = match self.rng.u32(0..10) {
            0 => How::Sync,
            1 => How::Dsync,
            2 | 3 if !self.aligned || (off % SECTOR == 0 && len % SECTOR == 0) => How::Direct,
            _ => How::Plain,
        };
        Action::Write {
            path,
            off,
            len,
            tag,
            how,
        }
    }

    fn xattr(&mut self, path: String, op: u64, len: usize, tag: u64) -> Action {
        let id = self.state.id(&path);
        let first = id.and_then(|id| self.state.node(id).xattrs.keys().next().cloned());
        match first {
            Some(name) if self.rng.bool() => Action::RemoveXattr { path, name },
            _ => Action::SetXattr {
                path,
                name: format!("user.x{}", op % 3),
                len: len % 120 + 1,
                tag,
            },
        }
    }

    fn symlink(&mut self, op: u64) -> Action {
        match self.pick(|kind| matches!(kind, Kind::Symlink(_))) {
            Some(path) if self.rng.bool() => Action::Unlink { path },
            _ => {
                // Short ones are kept in the inode, long ones in a block.
                let len = if self.rng.bool() { 20 } else { 90 };
                Action::Symlink {
                    path: self.fresh("s", op),
                    target: format!("{op:0len$}"),
                }
            }
        }
    }

    fn directory(&mut self, op: u64, file: String) -> Action {
        let dir = self.pick(|kind| matches!(kind, Kind::Dir { .. }));
        let crowded = self.count(|kind| matches!(kind, Kind::Dir { .. })) >= MAX_DIRS;
        match dir {
            Some(from) if self.rng.u32(0..4) == 0 => {
                let to = self.fresh("d", op);
                // Not into itself.
                let inside = to.starts_with(&format!("{from}/"));
                let to = if inside { format!("d{op}") } else { to };
                Action::Rename { from, to }
            }
            Some(path) if crowded || self.rng.bool() => {
                let inside = format!("{path}/");
                let used = self
                    .state
                    .names()
                    .any(|(name, _)| name.starts_with(&inside));
                if used {
                    Action::Unlink { path: file }
                } else {
                    Action::Rmdir { path }
                }
            }
            _ => Action::Mkdir {
                path: self.fresh("d", op),
            },
        }
    }

    /// What is synced after an operation: as a rule what it changed.
    fn sync(&mut self, action: &Action) -> Sync {
        let subject = match action {
            Action::Create { path, .. }
            | Action::Write { path, .. }
            | Action::Truncate { path, .. }
            | Action::Fallocate { path, .. }
            | Action::Punch { path, .. }
            | Action::SetXattr { path, .. }
            | Action::RemoveXattr { path, .. } => Some(path.clone()),
            Action::Rename { to, .. } | Action::Link { to, .. }
                if self.state.file(to).is_some() =>
            {
                Some(to.clone())
            }
            _ => self.pick_file(),
        };
        let dir = super::step::dirs_of(action)
            .last()
            .map(|dir| (*dir).to_owned());
        match (self.rng.u32(0..20), subject, dir) {
            (0..6, ..) => Sync::None,
            (6..10, Some(path), _) if self.calm => Sync::File(path),
            (6..8, Some(path), _) => Sync::Dir(parent(&path).to_owned()),
            (8, _, Some(dir)) => Sync::Dir(dir),
            (9, ..) => Sync::All,
            (10..13, Some(path), _) => Sync::Data(path),
            (_, Some(path), _) => Sync::File(path),
            _ => Sync::None,
        }
    }
}

impl Action {
    /// Mapped bytes end where the file does.
    fn within(mut self, size: usize) -> Self {
        if let Self::Write { off, len, .. } = &mut self {
            *len = (*len).min(size - *off);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::mem::discriminant;

    #[test]
    fn the_same_seed_gives_the_same_steps() {
        let steps = |seed| -> Vec<Step> {
            let mut gen = Generator::new(&Job {
                seed,
                calm: false,
                aligned: false,
                mapped: true,
                member: Some(Member(1)),
            });
            (0..300).map(|_| gen.step().unwrap()).collect()
        };
        assert_eq!(steps(3), steps(3));
        assert_ne!(steps(3), steps(4));
    }

    #[test]
    fn every_kind_of_step_occurs() {
        let mut gen = Generator::new(&Job {
            seed: 1,
            calm: false,
            aligned: false,
            mapped: true,
            member: Some(Member(1)),
        });
        let (mut actions, mut syncs, mut hows) = (HashSet::new(), HashSet::new(), HashSet::new());
        // Directories that were renamed, with names in them, and steps in the shared one.
        let (mut moved, mut full, mut shared) = (0, 0, 0);
        for _ in 0..2000 {
            let before = gen.state().clone();
            let step = gen.step().unwrap();
            if let Action::Rename { from, .. } = &step.action {
                let inside = format!("{from}/");
                moved += u32::from(before.file(from).is_none());
                full += u32::from(before.names().any(|(path, _)| path.starts_with(&inside)));
            }
            let dirs = crate::stress::step::dirs_of(&step.action);
            shared += u32::from(dirs.contains(&SHARED));
            actions.insert(discriminant(&step.action));
            syncs.insert(discriminant(&step.sync));
            if let Action::Write { how, .. } = &step.action {
                hows.insert(discriminant(how));
            }
        }
        assert_eq!((actions.len(), syncs.len(), hows.len()), (13, 5, 5));
        assert!(
            moved > 10 && full > 5 && shared > 200,
            "{moved} {full} {shared}"
        );
    }
}
