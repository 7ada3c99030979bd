// SPDX-License-Identifier: GPL-2.0
//! The first and the last thing: pseudo filesystems, and switching off.

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::mount::{mount, MountFlags};
use rustix::system::{reboot, RebootCommand};
use std::fs;
use std::io::Write;

const BASICS: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
    ("tmpfs", "/tmp"),
];

pub fn mount_basics() -> Result<()> {
    std::env::set_var("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    for (fstype, dir) in BASICS {
        fs::create_dir_all(dir).with_context(|| format!("mkdir {dir}"))?;
        match mount(*fstype, *dir, *fstype, MountFlags::empty(), None) {
            // An initramfs kernel may have mounted devtmpfs itself.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(err) => return Err(err).with_context(|| format!("mount {fstype} at {dir}")),
        }
    }
    // Programs look here for what is mounted.
    let _ = std::os::unix::fs::symlink("/proc/self/mounts", "/etc/mtab");
    Ok(())
}

/// One line into the kernel log, which is on the console.
pub fn kernel_log(line: &str) {
    if let Ok(mut kmsg) = fs::OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = writeln!(kmsg, "<4>{line}");
    }
}

pub fn power_off() -> ! {
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    // Without ACPI the call returns; the host ends the machine then.
    loop {
        std::thread::park();
    }
}
