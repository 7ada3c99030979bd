// SPDX-License-Identifier: GPL-2.0
//! Holds every fsync and fdatasync of a child until it is answered: a seccomp
//! filter hands them to this process. All unsafe code of the program is here.

use anyhow::{anyhow, Context, Result};
use libc::{
    c_ulong, seccomp_data, seccomp_notif, seccomp_notif_resp, sock_filter, sock_fprog, BPF_ABS,
    BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, POLLHUP, POLLIN,
};
use std::io::Error;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command};

pub struct Listener(OwnedFd);

/// A sync that waits for its answer.
pub struct Held(u64);

/// An ioctl number: read and write, of seccomp.
const fn request(number: c_ulong, size: usize) -> c_ulong {
    (3 << 30) | ((size as c_ulong) << 16) | ((b'!' as c_ulong) << 8) | number
}

const RECEIVE: c_ulong = request(0, size_of::<seccomp_notif>());
const SEND: c_ulong = request(1, size_of::<seccomp_notif_resp>());

/// "fsync or fdatasync: ask; anything else: go on."
fn program() -> [sock_filter; 5] {
    let statement = |code: u32, k: u32| sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let equal = |k: i64, jt, jf| sock_filter {
        jt,
        jf,
        ..statement(BPF_JMP | BPF_JEQ | BPF_K, k as u32)
    };
    [
        statement(
            BPF_LD | BPF_W | BPF_ABS,
            offset_of!(seccomp_data, nr) as u32,
        ),
        equal(libc::SYS_fsync, 1, 0),
        equal(libc::SYS_fdatasync, 0, 1),
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_USER_NOTIF),
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW),
    ]
}

/// Puts the filter on the calling thread and on what it starts.
fn install() -> Result<Listener> {
    let mut filter = program();
    let program = sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: prctl(2) with numbers only; seccomp(2) reads the program, which
    // lives until it returns, and returns a new descriptor or -1.
    let fd = unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(Error::last_os_error()).context("no_new_privs");
        }
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &program,
        )
    };
    if fd < 0 {
        return Err(Error::last_os_error()).context(
            "seccomp: the flushes of QEMU cannot be watched; \
             run where seccomp is allowed and no other listener is there",
        );
    }
    // SAFETY: The descriptor is new, and nobody else's.
    Ok(Listener(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
}

/// Starts a program with its syncs held. The filter cannot be taken off again, so
/// a thread of its own puts it on and ends.
pub fn spawn(command: &mut Command) -> Result<(Child, Listener)> {
    std::thread::scope(|scope| {
        let starter = scope.spawn(|| {
            let listener = install()?;
            let child = command.spawn().context("qemu-system-x86_64")?;
            Ok((child, listener))
        });
        starter.join().map_err(|_| anyhow!("starting thread"))?
    })
}

impl Listener {
    /// Waits for the next sync; none once the program has ended.
    pub fn next(&self) -> Result<Option<Held>> {
        loop {
            let mut poll = libc::pollfd {
                fd: self.0.as_raw_fd(),
                events: POLLIN,
                revents: 0,
            };
            // SAFETY: One pollfd, which lives until the call returns.
            if unsafe { libc::poll(&mut poll, 1, -1) } < 0 {
                continue;
            }
            if poll.revents & POLLIN == 0 {
                if poll.revents & POLLHUP != 0 {
                    return Ok(None);
                }
                continue;
            }
            // SAFETY: Plain numbers, for which zero is a value; the kernel wants
            // them zeroed and fills them in.
            let mut held: seccomp_notif = unsafe { zeroed() };
            // SAFETY: The structure has the size that the request says.
            if unsafe { libc::ioctl(self.0.as_raw_fd(), RECEIVE, &mut held) } == 0 {
                return Ok(Some(Held(held.id)));
            }
            // Ended by a signal meanwhile.
        }
    }

    /// Lets a sync return: with success, or with an error.
    pub fn answer(&self, held: &Held, errno: i32) -> Result<()> {
        let mut answer = seccomp_notif_resp {
            id: held.0,
            val: 0,
            error: -errno,
            flags: 0,
        };
        // SAFETY: The structure has the size that the request says.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), SEND, &mut answer) } == 0 {
            return Ok(());
        }
        match Error::last_os_error() {
            // Killed while it waited.
            err if err.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            err => Err(err).context("answer to a sync"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_held_and_answered() {
        let mut command = Command::new("sync");
        command.arg(std::env::temp_dir());
        for (errno, success) in [(0, true), (libc::EIO, false)] {
            let (mut child, listener) = spawn(&mut command).unwrap();
            let held = listener.next().unwrap().unwrap();
            listener.answer(&held, errno).unwrap();
            assert_eq!(child.wait().unwrap().success(), success);
            assert!(listener.next().unwrap().is_none());
        }
    }
}
